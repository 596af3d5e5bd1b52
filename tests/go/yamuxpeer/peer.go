// Package yamuxpeer is a plain hashicorp/yamux session over a socket or over standard input and output, the
// reference for a session of another implementation: it echoes what it accepts, or opens streams, sends
// known bytes and checks what comes back.
//
// It never interprets the bytes of a stream, and it adds nothing to yamux: no WebSocket, no routing header.
package yamuxpeer

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/yamux"
)

type options struct {
	connect, listen, role, mode string
	stdio                       bool
	streams, mebibytes          int
	config                      *yamux.Config
}

func parseOptions(arguments []string) (*options, error) {
	o := &options{config: yamux.DefaultConfig()}
	o.config.LogOutput = os.Stderr
	flags := flag.NewFlagSet("yamux-peer", flag.ContinueOnError)
	flags.StringVar(&o.connect, "connect", "", "tcp:HOST:PORT or unix:PATH to dial")
	flags.StringVar(&o.listen, "listen", "", "tcp:HOST:PORT or unix:PATH to accept one connection on")
	flags.BoolVar(&o.stdio, "stdio", false, "run over standard input and output; results go to standard error then")
	flags.StringVar(&o.role, "role", "client", "client (odd stream ids) or server (even ones)")
	flags.StringVar(&o.mode, "mode", "echo", "echo every accepted stream, or send on streams of its own")
	flags.IntVar(&o.streams, "streams", 1, "send: how many streams, all at once")
	flags.IntVar(&o.mebibytes, "mib", 1, "send: MiB on each stream")
	window := flags.Uint("window", 256*1024, "largest receive window of a stream, in bytes")
	keepAlive := flags.Duration("keepalive", 30*time.Second, "interval of yamux pings; 0 for none")
	timeout := flags.Duration("write-timeout", 10*time.Second, "limit for a write, and for the answer to a ping")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	o.config.MaxStreamWindowSize = uint32(*window)
	o.config.ConnectionWriteTimeout = *timeout
	if o.config.EnableKeepAlive = *keepAlive > 0; o.config.EnableKeepAlive {
		o.config.KeepAliveInterval = *keepAlive
	}
	wires := 0
	for _, chosen := range []bool{o.connect != "", o.listen != "", o.stdio} {
		if chosen {
			wires++
		}
	}
	switch {
	case wires != 1:
		return nil, errors.New("one of --connect, --listen and --stdio is required")
	case o.role != "client" && o.role != "server":
		return nil, fmt.Errorf("unknown --role %q", o.role)
	case o.mode != "echo" && o.mode != "send":
		return nil, fmt.Errorf("unknown --mode %q", o.mode)
	case o.streams < 1 || o.mebibytes < 0:
		return nil, errors.New("--streams must be above 0, and --mib not below it")
	}
	return o, yamux.VerifyConfig(o.config)
}

// Main runs one session and prints its result as one line of JSON.
func Main(arguments []string) error {
	o, err := parseOptions(arguments)
	if err != nil {
		return err
	}
	wire, err := o.open()
	if err != nil {
		return err
	}
	start := yamux.Client
	if o.role == "server" {
		start = yamux.Server
	}
	session, err := start(wire, o.config)
	if err != nil {
		return err
	}
	results := os.Stdout
	if o.stdio {
		results = os.Stderr
	}
	if o.mode == "echo" {
		return json.NewEncoder(results).Encode(echo(session))
	}
	sent := send(session, o.streams, o.mebibytes)
	if err := json.NewEncoder(results).Encode(sent); err != nil {
		return err
	}
	if !sent.OK {
		return errors.New("not every stream came back as it was sent")
	}
	return session.Close()
}

// open returns the one connection that the session runs on.
func (o *options) open() (io.ReadWriteCloser, error) {
	if o.stdio {
		return standardStreams{}, nil
	}
	network, address, found := strings.Cut(o.connect+o.listen, ":")
	if !found || (network != "tcp" && network != "unix") {
		return nil, fmt.Errorf("want tcp:HOST:PORT or unix:PATH, got %q", o.connect+o.listen)
	}
	if o.connect != "" {
		return net.Dial(network, address)
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	fmt.Fprintf(os.Stderr, "listening %s\n", listener.Addr())
	return listener.Accept()
}

type standardStreams struct{}

func (standardStreams) Read(data []byte) (int, error)  { return os.Stdin.Read(data) }
func (standardStreams) Write(data []byte) (int, error) { return os.Stdout.Write(data) }

// Close ends both directions; a read of standard input that is a pipe returns then.
func (standardStreams) Close() error { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }
