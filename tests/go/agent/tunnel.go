package agent

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

const (
	protocolUDP    = 2
	streamsTimeout = 30 * time.Second
)

// socket writes each yamux write as one binary message: a frame's header and body are two messages, and
// gorilla's 4 KiB buffer splits a long body into continuation frames.
type socket struct {
	conn       *websocket.Conn
	writeMutex *sync.Mutex
}

func (s *socket) Write(data []byte) (int, error) {
	s.writeMutex.Lock()
	defer s.writeMutex.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := s.conn.WriteMessage(websocket.BinaryMessage, data); err != nil {
		return 0, err
	}
	return len(data), nil
}

// carrier is what yamux runs on: it reads what the WebSocket's reader fed, and never closes the WebSocket.
type carrier struct {
	*io.PipeReader
	*socket
}

// tunnel is one yamux session. The agent is its client and accepts all streams; it opens none.
type tunnel struct {
	o       *options
	session *yamux.Session
	inbound *io.PipeWriter
	streams sync.WaitGroup
}

func newTunnel(out *socket, settings map[string]any, o *options) (*tunnel, error) {
	config := yamux.DefaultConfig()
	config.LogOutput = os.Stderr
	config.ConnectionWriteTimeout = 30 * time.Second
	if value, _ := settings["max_stream_window_size"].(float64); value > 0 {
		config.MaxStreamWindowSize = uint32(value)
	}
	if value, _ := settings["keep_alive_interval_seconds"].(float64); value > 0 {
		config.KeepAliveInterval = time.Duration(value) * time.Second
	}
	if value, _ := settings["connection_timeout_seconds"].(float64); value > 0 {
		config.ConnectionWriteTimeout = time.Duration(value) * time.Second
	}
	reader, writer := io.Pipe()
	session, err := yamux.Client(carrier{reader, out}, config)
	if err != nil {
		return nil, err
	}
	return &tunnel{o: o, session: session, inbound: writer}, nil
}

// feed hands over bytes of a binary message; after the session's death they are swallowed.
func (t *tunnel) feed(data []byte) {
	_, _ = t.inbound.Write(data)
}

func (t *tunnel) run() {
	for {
		stream, err := t.session.AcceptStream()
		if err != nil {
			logf("yamux ended error=%q", err)
			return
		}
		t.streams.Go(func() { t.serve(stream) })
	}
}

// close gives running streams 30 s before it ends the session.
func (t *tunnel) close() {
	done := make(chan struct{})
	go func() {
		t.streams.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(streamsTimeout):
		logf("streams still open after %s", streamsTimeout)
	}
	_ = t.session.Close()
}

// routing is the header that opens each stream.
type routing struct {
	protocol uint8
	port     uint16
	texts    [3]string // service, namespace, tunnel id
}

// readRouting reads version, protocol, port and three texts with their lengths. Nothing is validated.
func readRouting(from io.Reader) (r routing, err error) {
	var fixed [4]byte
	if _, err = io.ReadFull(from, fixed[:]); err != nil {
		return r, err
	}
	r.protocol, r.port = fixed[1], binary.BigEndian.Uint16(fixed[2:])
	for i := range r.texts {
		var length [2]byte
		if _, err = io.ReadFull(from, length[:]); err != nil {
			return r, err
		}
		text := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err = io.ReadFull(from, text); err != nil {
			return r, err
		}
		r.texts[i] = string(text)
	}
	return r, nil
}

func (r routing) target() string {
	return fmt.Sprintf("%s.%s.svc.cluster.local:%d", r.texts[0], r.texts[1], r.port)
}

// serve splices one stream with its service. A service that cannot be reached is told by the closed stream only.
func (t *tunnel) serve(stream *yamux.Stream) {
	defer stream.Close()
	header, err := readRouting(stream)
	if err != nil {
		logf("stream header failed id=%d error=%q", stream.StreamID(), err)
		return
	}
	logf("stream open id=%d target=%s tunnel_id=%q", stream.StreamID(), header.target(), header.texts[2])
	service, err := t.dial(header)
	if err != nil {
		logf("dial failed id=%d target=%s error=%q", stream.StreamID(), header.target(), err)
		return
	}
	defer service.Close()
	var received, sent int64
	var both sync.WaitGroup
	both.Go(func() {
		received, _ = io.Copy(service, stream)
		if tcp, ok := service.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	})
	both.Go(func() {
		sent, _ = io.Copy(stream, service)
		_ = stream.Close()
	})
	both.Wait()
	logf("stream closed id=%d received=%d sent=%d", stream.StreamID(), received, sent)
}

func (t *tunnel) dial(header routing) (net.Conn, error) {
	address, err := t.o.names.lookup(header.target())
	if err != nil {
		return nil, err
	}
	network := "tcp"
	if header.protocol == protocolUDP {
		network = "udp"
	}
	return net.DialTimeout(network, address, t.o.dialTimeout)
}
