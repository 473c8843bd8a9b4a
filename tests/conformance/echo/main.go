// Echo stands in for the suite's echo-advanced, whose image comes from a registry: the same flags of the
// server, the same command `client` beside it, and of the report the lines that the suite reads. Called as
// `client` it asks, by any other name it serves.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	run := serve
	if filepath.Base(os.Args[0]) == "client" {
		run = ask
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
