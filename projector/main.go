// Projector keeps the read model of the orders that it reads from Kafka.
//
// What it does is in package app.
package main

import (
	"os"

	"github.com/adamkwhite/kafkafoodpipeline/projector/app"
)

func main() { os.Exit(app.Main()) }
