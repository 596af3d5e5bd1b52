// Package ticks is a real-time service built on centrifuge, the library under Grafana Live, and a client
// for its JSON protocol. The server keeps the library's own Origin check, which compares the Origin header
// with the Host header: a gateway that does not pass Host unchanged fails here.
package ticks

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
)

const (
	channel         = "ticks"
	historySize     = 1000
	historyLifetime = time.Minute
)

var history = centrifuge.WithHistory(historySize, historyLifetime)

// ServerMain serves /connection/websocket and /tick on 127.0.0.1 until it is killed.
func ServerMain(arguments []string) error {
	flags := flag.NewFlagSet("centrifuge", flag.ContinueOnError)
	port := flags.Int("port", 0, "port on 127.0.0.1; 0 takes a free one")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	node, err := newNode()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "listening %s\n", listener.Addr())
	server := &http.Server{Handler: routes(node), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

func newNode() (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{
		LogLevel: centrifuge.LogLevelInfo,
		LogHandler: func(entry centrifuge.LogEntry) {
			fmt.Fprintf(os.Stderr, "centrifuge message=%q fields=%v\n", entry.Message, entry.Fields)
		},
	})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: ""}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(event centrifuge.PublishEvent, done centrifuge.PublishCallback) {
			result, err := node.Publish(event.Channel, event.Data, history)
			done(centrifuge.PublishReply{Result: &result}, err)
		})
		client.OnHistory(func(_ centrifuge.HistoryEvent, done centrifuge.HistoryCallback) {
			done(centrifuge.HistoryReply{}, nil)
		})
	})
	return node, node.Run()
}

func routes(node *centrifuge.Node) http.Handler {
	var ticks atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	mux.HandleFunc("POST /tick", func(w http.ResponseWriter, _ *http.Request) {
		data := fmt.Appendf(nil, `{"tick":%d}`, ticks.Add(1))
		if _, err := node.Publish(channel, data, history); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(data)
	})
	return mux
}
