// Orderservice takes orders over HTTP and makes its own traffic if asked to.
//
// What it does is in package app.
package main

import (
	"os"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/app"
)

func main() { os.Exit(app.Main()) }
