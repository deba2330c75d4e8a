// Image is the one file of the container image: it is orderservice, relay, projector or foodctl, whichever it is called as.
//
// One file for all is a third of four: what they have in common is most of each. And as the containers of a host share
// one file, they share its pages in memory too. Outside the image the programs are built apart, so that what one links
// shows what it can do.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	foodctl "github.com/adamkwhite/kafkafoodpipeline/foodctl/app"
	orderservice "github.com/adamkwhite/kafkafoodpipeline/orderservice/app"
	projector "github.com/adamkwhite/kafkafoodpipeline/projector/app"
	relay "github.com/adamkwhite/kafkafoodpipeline/relay/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	program, known := map[string]func() int{
		"foodctl":      foodctl.Main,
		"orderservice": orderservice.Main,
		"projector":    projector.Main,
		"relay":        relay.Main,
	}[name]
	if !known {
		fmt.Fprintf(os.Stderr, "error: there is no program %q in this image: call foodctl, orderservice, projector or relay\n", name)
		os.Exit(2)
	}
	os.Exit(program())
}
