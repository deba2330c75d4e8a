// Relay publishes the outbox of the orders database to Kafka, each event exactly once.
//
// What it does is in package app.
package main

import (
	"os"

	"github.com/adamkwhite/kafkafoodpipeline/relay/app"
)

func main() { os.Exit(app.Main()) }
