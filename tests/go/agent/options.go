package agent

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// options are the flags of existing-agent, checked.
type options struct {
	apiURL      string
	gatewayURL  string
	token       string
	agentID     string
	name        string
	clusterID   string
	heartbeat   time.Duration
	ping        time.Duration
	dialTimeout time.Duration
	names       names
}

// names stands in for cluster DNS: "host:port" to the address to dial instead. A name that is not in it
// does not exist, unless everything was mapped to one IP address.
type names struct {
	entries map[string]string
	all     string
}

// String and Set make names a flag that may be repeated.
func (n *names) String() string { return "" }

// Set takes one "host:port=address:port".
func (n *names) Set(text string) error {
	from, to, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("want host:port=address:port, got %q", text)
	}
	for _, part := range []string{from, to} {
		if _, _, err := net.SplitHostPort(part); err != nil {
			return err
		}
	}
	n.entries[from] = to
	return nil
}

// lookup returns the address to dial for a cluster name with its port.
func (n *names) lookup(target string) (string, error) {
	if address, found := n.entries[target]; found {
		return address, nil
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", err
	}
	if n.all != "" {
		return net.JoinHostPort(n.all, port), nil
	}
	return "", &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func parseOptions(arguments []string) (*options, error) {
	o := &options{names: names{entries: map[string]string{}}}
	flags := flag.NewFlagSet("existing-agent", flag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	flags.StringVar(&o.apiURL, "api", "", "base URL of the controller (http, https, ws or wss)")
	flags.StringVar(&o.gatewayURL, "gateway", "", "cached gateway URL: resume instead of registering; needs --cluster-id")
	flags.StringVar(&o.token, "token", "", "agent token")
	flags.StringVar(&o.agentID, "agent-id", "agent-0001", "agent id")
	flags.StringVar(&o.name, "name", "probe-cluster", "cluster name to register")
	flags.StringVar(&o.clusterID, "cluster-id", "", "stored cluster id: sent in register, and used by --gateway")
	heartbeat := flags.Float64("heartbeat", 30, "seconds between heartbeats")
	ping := flags.Float64("ping", 10, "seconds between WebSocket pings")
	dialTimeout := flags.Float64("dial-timeout", 10, "seconds to wait for a service to accept")
	flags.Var(&o.names, "resolve", "host:port=address:port, may be repeated")
	flags.StringVar(&o.names.all, "resolve-all", "", "IP address that stands for every other host")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	o.heartbeat, o.ping, o.dialTimeout = seconds(*heartbeat), seconds(*ping), seconds(*dialTimeout)
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.apiURL == "" || o.token == "":
		return nil, errors.New("--api and --token are required")
	case o.gatewayURL != "" && o.clusterID == "":
		return nil, errors.New("--gateway needs --cluster-id")
	case o.heartbeat <= 0 || o.ping <= 0 || o.dialTimeout <= 0:
		return nil, errors.New("--heartbeat, --ping and --dial-timeout must be above 0")
	}
	return o, nil
}

func seconds(value float64) time.Duration {
	return time.Duration(value * float64(time.Second))
}
