// Command peers is what the system tests talk to: programs built on the original Go libraries, so that
// the Python side is never tested against itself only. One binary, so that one build serves all tests.
//
// It never reads configuration from anywhere but its flags. Events go to standard error, one per line;
// results go to standard output.
package main

import (
	"fmt"
	"os"

	"tunnelgateway.test/peers/agent"
	"tunnelgateway.test/peers/ticks"
	"tunnelgateway.test/peers/yamuxpeer"
)

var commands = map[string]func(arguments []string) error{
	"existing-agent":    agent.Main,
	"centrifuge":        ticks.ServerMain,
	"centrifuge-client": ticks.ClientMain,
	"yamux-peer":        yamuxpeer.Main,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peers existing-agent|centrifuge|centrifuge-client|yamux-peer [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "fatal error=%q\n", err)
		os.Exit(1)
	}
}
