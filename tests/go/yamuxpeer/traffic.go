package yamuxpeer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/yamux"
)

const mebibyte = 1 << 20

// echoed is the result of --mode echo, printed when the session has ended.
type echoed struct {
	Accepted int64  `json:"accepted"`
	Bytes    int64  `json:"bytes"`
	Ended    string `json:"ended"`
}

// echo returns every byte on the stream it came on, and answers an end with an end.
func echo(session *yamux.Session) echoed {
	var accepted, total atomic.Int64
	var streams sync.WaitGroup
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			streams.Wait()
			return echoed{accepted.Load(), total.Load(), err.Error()}
		}
		accepted.Add(1)
		streams.Go(func() {
			defer stream.Close()
			count, _ := io.Copy(stream, stream)
			total.Add(count)
		})
	}
}

// stream is the result of one stream of --mode send.
type stream struct {
	ID             uint32 `json:"id"`
	Sent           int64  `json:"sent"`
	SentSHA256     string `json:"sent_sha256"`
	Received       int64  `json:"received"`
	ReceivedSHA256 string `json:"received_sha256"`
	Error          string `json:"error,omitempty"`
}

// sent is the result of --mode send; OK says that every stream came back whole.
type sent struct {
	OK      bool     `json:"ok"`
	Streams []stream `json:"streams"`
}

// send opens all streams at once, writes to each and half-closes it, while it reads what the peer returns
// until the peer's end. The bytes are pseudo-random, from the number of the stream.
func send(session *yamux.Session, streams, mebibytes int) sent {
	result := sent{OK: true, Streams: make([]stream, streams)}
	var all sync.WaitGroup
	for i := range result.Streams {
		all.Go(func() {
			if err := result.Streams[i].run(session, uint64(i), mebibytes); err != nil {
				result.Streams[i].Error = err.Error()
			}
		})
	}
	all.Wait()
	for _, s := range result.Streams {
		if s.Error != "" || s.Sent != s.Received || s.SentSHA256 != s.ReceivedSHA256 {
			result.OK = false
		}
	}
	return result
}

func (s *stream) run(session *yamux.Session, number uint64, mebibytes int) error {
	carrier, err := session.OpenStream()
	if err != nil {
		return err
	}
	s.ID = carrier.StreamID()
	written := make(chan error, 1)
	go func() {
		hash := sha256.New()
		var seed [32]byte
		seed[0], seed[1] = byte(number), byte(number>>8)
		source := io.LimitReader(rand.NewChaCha8(seed), int64(mebibytes)*mebibyte)
		count, err := io.Copy(io.MultiWriter(carrier, hash), source)
		s.Sent, s.SentSHA256 = count, hex.EncodeToString(hash.Sum(nil))
		if closing := carrier.Close(); err == nil {
			err = closing
		}
		written <- err
	}()
	hash := sha256.New()
	count, err := io.Copy(hash, carrier)
	s.Received, s.ReceivedSHA256 = count, hex.EncodeToString(hash.Sum(nil))
	if err != nil {
		_ = carrier.Close()
		return fmt.Errorf("read: %w", err)
	}
	if err := <-written; err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
