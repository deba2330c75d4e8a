// Foodctl is the operator's tool: it runs the pipeline, breaks it on purpose, and checks that it kept its promise.
//
// What it does is in package app.
package main

import (
	"os"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/app"
)

func main() { os.Exit(app.Main()) }
