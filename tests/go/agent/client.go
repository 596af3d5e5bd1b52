package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	handshakeTimeout = 30 * time.Second
	readTimeout      = 60 * time.Second
	writeTimeout     = 30 * time.Second
	pingTimeout      = 10 * time.Second
	firstDelay       = 500 * time.Millisecond
	longestDelay     = 60 * time.Second
)

// handshakeError is a refused handshake; 401 and 403 end the reconnect loop.
type handshakeError struct {
	status int
	err    error
}

func (e *handshakeError) Error() string {
	return fmt.Sprintf("handshake status %d: %v", e.status, e.err)
}

// client owns one URL and its successive WebSocket connections.
//
// A lost connection is never closed from this side, as in the original: a gateway has to notice by itself.
// One write lock serves text, pings and yamux of all its connections.
type client struct {
	o       *options
	role    string // "controller" or "gateway", for the log
	url     string
	closing atomic.Bool
	dropped chan struct{} // the connection was lost at least once

	mutex     sync.Mutex
	conn      *websocket.Conn
	connected bool
	clusterID string
	tunnel    *tunnel
	waiting   map[string]chan *envelope
	unknown   map[string]bool

	writeMutex   sync.Mutex
	reconnecting atomic.Bool
	delay        time.Duration // of the reconnect loop; only its holder touches it
}

func newClient(o *options, role, url, clusterID string) *client {
	return &client{
		o: o, role: role, url: url, clusterID: clusterID, delay: firstDelay, dropped: make(chan struct{}, 1),
		waiting: map[string]chan *envelope{}, unknown: map[string]bool{},
	}
}

func (c *client) setClusterID(clusterID string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.clusterID = clusterID
}

// expect must come before the request is sent: the answer is delivered to the channel, once.
func (c *client) expect(requestID string) <-chan *envelope {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	answer := make(chan *envelope, 1)
	c.waiting[requestID] = answer
	return answer
}

// open dials once and starts to read and ping.
func (c *client) open() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	logf("%s connected", c.role)
	c.attach(conn)
	return nil
}

func (c *client) dial() (*websocket.Conn, error) {
	dialer := websocket.Dialer{HandshakeTimeout: handshakeTimeout}
	header := http.Header{"Authorization": {"Bearer " + c.o.token}}
	conn, response, err := dialer.Dial(c.url, header)
	if err == nil {
		return conn, nil
	}
	if response != nil {
		return nil, &handshakeError{response.StatusCode, err}
	}
	return nil, err
}

// attach makes conn the current connection. Before it reads or writes anything there, it waits until the
// streams of the former yamux session are over: the original is silent on a fresh connection meanwhile.
func (c *client) attach(conn *websocket.Conn) {
	c.mutex.Lock()
	former := c.tunnel
	c.tunnel = nil
	c.mutex.Unlock()
	if former != nil {
		former.close()
	}
	renew := func() { _ = conn.SetReadDeadline(time.Now().Add(readTimeout)) }
	renew()
	conn.SetPongHandler(func(string) error { renew(); return nil })
	c.mutex.Lock()
	c.conn, c.connected = conn, true
	c.mutex.Unlock()
	c.reconnecting.Store(false)
	go c.read(conn, renew)
	go c.pings()
}

// close ends the client with code 1000; the only close frame that an agent ever starts.
func (c *client) close() {
	c.closing.Store(true)
	c.mutex.Lock()
	conn := c.conn
	c.connected = false
	c.mutex.Unlock()
	c.writeMutex.Lock()
	defer c.writeMutex.Unlock()
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = conn.WriteControl(websocket.CloseMessage, message, time.Now().Add(5*time.Second))
	_ = conn.Close()
}

func (c *client) read(conn *websocket.Conn, renew func()) {
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			c.mutex.Lock()
			current := c.conn == conn
			c.mutex.Unlock()
			if current && !c.closing.Load() {
				logf("connection lost error=%q", err)
				c.lost()
			}
			return
		}
		renew()
		if kind == websocket.BinaryMessage {
			c.mutex.Lock()
			tunnel := c.tunnel
			c.mutex.Unlock()
			if tunnel != nil {
				tunnel.feed(data)
				continue
			}
		}
		message := &envelope{}
		if err := json.Unmarshal(data, message); err != nil {
			logf("unparsable message error=%q", err)
			continue
		}
		c.handle(conn, message)
	}
}

func (c *client) handle(conn *websocket.Conn, message *envelope) {
	switch message.Type {
	case "register_success":
		c.mutex.Lock()
		answer := c.waiting[message.RequestID]
		delete(c.waiting, message.RequestID)
		c.mutex.Unlock()
		if answer != nil {
			answer <- message
		}
	case "ping":
		c.reply(newEnvelope("pong", message.RequestID, map[string]any{"timestamp": time.Now()}))
	case "gateway_hello":
		c.hello(conn, message)
	case "error":
		text := strings.ToLower(message.text("error"))
		logf("error message=%q", text)
		if strings.Contains(text, "not registered") || strings.Contains(text, "cluster not found") {
			c.setClusterID("")
			logf("cluster id forgotten")
		}
	default:
		c.mutex.Lock()
		known := quietTypes[message.Type] || c.unknown[message.Type]
		c.unknown[message.Type] = true
		c.mutex.Unlock()
		if known {
			return
		}
		logf("unknown message type=%q", message.Type)
		c.reply(fallbackMessage(message))
	}
}

// hello acknowledges before the session exists, so a configuration that yamux refuses is acknowledged too.
func (c *client) hello(conn *websocket.Conn, message *envelope) {
	if wanted, _ := message.Payload["use_yamux"].(bool); !wanted {
		return
	}
	ack := newEnvelope("gateway_hello_ack", "", map[string]any{"use_yamux": true})
	if err := c.send(ack); err != nil {
		logf("send failed type=%s error=%q", ack.Type, err)
		return
	}
	settings, _ := message.Payload["yamux_config"].(map[string]any)
	tunnel, err := newTunnel(&socket{conn, &c.writeMutex}, settings, c.o)
	if err != nil {
		logf("yamux failed error=%q", err)
		return
	}
	c.mutex.Lock()
	c.tunnel = tunnel
	c.mutex.Unlock()
	logf("yamux ready")
	go tunnel.run()
}

func (c *client) reply(message *envelope) {
	if err := c.send(message); err != nil {
		logf("send failed type=%s error=%q", message.Type, err)
	}
}

func (c *client) send(message *envelope) error {
	c.mutex.Lock()
	conn, connected := c.conn, c.connected
	c.mutex.Unlock()
	if !connected {
		return errors.New("not connected")
	}
	c.writeMutex.Lock()
	defer c.writeMutex.Unlock()
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return conn.WriteJSON(message)
}

// heartbeats sends one at once, then one per interval; it goes quiet when the cluster id was forgotten.
func (c *client) heartbeats() {
	c.heartbeat()
	for range time.Tick(c.o.heartbeat) {
		c.heartbeat()
	}
}

func (c *client) heartbeat() {
	c.mutex.Lock()
	clusterID, connected := c.clusterID, c.connected
	c.mutex.Unlock()
	if connected && clusterID != "" {
		c.reply(heartbeatMessage(c.o.agentID, clusterID))
	}
}

// pings runs once per connection but pings whichever is current, and ends with its first failure only:
// so several run after reconnects, and a leftover one may redial after a 401. Both are the original's.
func (c *client) pings() {
	for range time.Tick(c.o.ping) {
		if c.closing.Load() {
			return
		}
		c.mutex.Lock()
		conn := c.conn
		c.mutex.Unlock()
		c.writeMutex.Lock()
		err := conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(pingTimeout))
		c.writeMutex.Unlock()
		if err != nil {
			c.lost()
			return
		}
	}
}

// lost redials the same URL until it is accepted, or refused with 401 or 403. One caller at a time does it.
func (c *client) lost() {
	c.mutex.Lock()
	c.connected = false
	c.mutex.Unlock()
	select {
	case c.dropped <- struct{}{}:
	default:
	}
	if c.closing.Load() || !c.reconnecting.CompareAndSwap(false, true) {
		return
	}
	for {
		delay := time.Duration(float64(c.delay) * (1 + 0.25*rand.Float64()))
		logf("reconnecting in %.2f s", delay.Seconds())
		time.Sleep(delay)
		conn, err := c.dial()
		if err == nil {
			logf("%s connected", c.role)
			c.delay = firstDelay
			c.attach(conn)
			c.heartbeat()
			return
		}
		logf("reconnect failed error=%q", err)
		var refused *handshakeError
		if errors.As(err, &refused) && (refused.status == 401 || refused.status == 403) {
			logf("reconnect given up status=%d", refused.status)
			c.reconnecting.Store(false)
			return
		}
		c.delay = min(2*c.delay, longestDelay)
	}
}
