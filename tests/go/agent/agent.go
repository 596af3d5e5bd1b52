// Package agent plays the part of the Go agent that is already deployed in clusters, as far as a gateway
// that speaks yamux can see it: registration, resume, heartbeats, pings, reconnection, and raw TCP
// streams over hashicorp/yamux, quirks included where a gateway has to live with them.
//
// There is a second stand-in, in Python (tests/existing), because they prove different things: this one runs
// yamux on the libraries of the original, that one the JSON path from recordings of the original. What both
// say is compared with the same recordings by tests/existing/test_stand_ins.py.
//
// It never answers proxy_request or any other message of the JSON proxy path, never talks to Kubernetes,
// never asks a DNS server for a service, and never writes the token to its log.
package agent

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const registrationTimeout = 30 * time.Second

var logMutex sync.Mutex

// logf writes one event to standard error as one line.
func logf(format string, values ...any) {
	logMutex.Lock()
	defer logMutex.Unlock()
	fmt.Fprintf(os.Stderr, format+"\n", values...)
}

// Main runs the agent until SIGTERM, which ends the process without a word to the gateway. It returns
// only when registration fails, as the real process exits then, to be restarted by Kubernetes.
func Main(arguments []string) error {
	o, err := parseOptions(arguments)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		logf("stopping signal=%s", <-signals)
		os.Exit(0)
	}()
	live, err := start(o)
	if err != nil {
		return err
	}
	live.heartbeats()
	return nil
}

// start returns the client that stays: the gateway's, or the controller's where no gateway was named.
func start(o *options) (*client, error) {
	controllerURL, err := controllerAddress(o.apiURL)
	if err != nil {
		return nil, err
	}
	controller := newClient(o, "controller", controllerURL, "")
	connect(controller)
	if o.gatewayURL != "" {
		controller.close()
		gateway, err := toGateway(o, o.gatewayURL, o.clusterID)
		if err == nil {
			return gateway, nil
		}
		logf("resume failed error=%q", err)
		controller = newClient(o, "controller", controllerURL, "")
		connect(controller)
	}
	return register(o, controller)
}

// connect dials the controller. A real agent that cannot reach it goes on "standalone" and never tries again.
func connect(controller *client) {
	if err := controller.open(); err != nil {
		logf("standalone error=%q", err)
		select {}
	}
}

func register(o *options, controller *client) (*client, error) {
	message := registerMessage(o)
	answer := controller.expect(message.RequestID)
	if err := controller.send(message); err != nil {
		return nil, err
	}
	var success *envelope
	select {
	case success = <-answer:
	case <-controller.dropped: // the original exits within 2 s, and Kubernetes restarts it
		return nil, errors.New("failed to register agent: WebSocket not connected")
	case <-time.After(registrationTimeout):
		return nil, errors.New("registration timed out")
	}
	clusterID := success.text("cluster_id")
	if clusterID == "" {
		return nil, errors.New("missing cluster_id in register_success")
	}
	clusterUUID := success.text("cluster_uuid")
	if clusterUUID == "" {
		clusterUUID = clusterID
	}
	gatewayURL := success.text("gateway_ws_url")
	logf("registered cluster_id=%s cluster_uuid=%s gateway_ws_url=%s", clusterID, clusterUUID, gatewayURL)
	if gatewayURL == "" {
		controller.setClusterID(clusterID)
		return controller, nil
	}
	controller.close()
	gateway, err := toGateway(o, gatewayURL, clusterUUID)
	if err != nil {
		return nil, err
	}
	gateway.setClusterID(clusterID)
	return gateway, nil
}

func toGateway(o *options, rawURL, clusterUUID string) (*client, error) {
	address, err := gatewayAddress(rawURL, clusterUUID)
	if err != nil {
		return nil, err
	}
	gateway := newClient(o, "gateway", address, clusterUUID)
	if err := gateway.open(); err != nil {
		return nil, err
	}
	return gateway, nil
}

// controllerAddress keeps the host and replaces the path; whatever is not https becomes ws.
func controllerAddress(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	if u.Scheme == "https" || u.Scheme == "wss" {
		u.Scheme = "wss"
	} else {
		u.Scheme = "ws"
	}
	u.Path, u.RawQuery = "/api/v1/clusters/agent/ws", ""
	return u.String(), nil
}

// gatewayAddress adds /ws only to an empty path, and keeps the query that is there; Encode sorts the keys.
func gatewayAddress(rawURL, clusterUUID string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "https":
		u.Scheme = "wss"
	case "http":
		u.Scheme = "ws"
	}
	if u.Path == "" {
		u.Path = "/ws"
	}
	query := u.Query()
	query.Set("cluster_uuid", clusterUUID)
	query.Set("agent_version", agentVersion)
	for _, feature := range []string{"streaming", "binary", "websocket", "yamux", "response_streaming"} {
		query.Set("supports_"+feature, "true")
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
