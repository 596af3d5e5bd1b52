package ticks

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// reply is what the server sends: the answer to a command (with its id), a push, or a ping (neither).
type reply struct {
	ID    uint32 `json:"id"`
	Error *struct {
		Code    uint32 `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Push *struct {
		Channel string       `json:"channel"`
		Pub     *publication `json:"pub"`
	} `json:"push"`
	History *struct {
		Publications []publication `json:"publications"`
	} `json:"history"`
}

type publication struct {
	Data   json.RawMessage `json:"data"`
	Offset uint64          `json:"offset"`
}

// session is one connection that speaks centrifuge's JSON protocol: commands and replies, one per line,
// several of them in one message where the server batches.
type session struct {
	conn    *websocket.Conn
	decoder *json.Decoder
	lastID  uint32
	pushed  []publication // received while a reply was awaited
}

// ClientMain prints one line per publication, in the order of arrival, and "ok N" when all came and a
// publication of its own was found in a history.
func ClientMain(arguments []string) error {
	flags := flag.NewFlagSet("centrifuge-client", flag.ContinueOnError)
	url := flags.String("url", "", "ws://host:port/connection/websocket")
	tickURL := flags.String("tick-url", "", "where a POST makes the server publish")
	count := flags.Int("count", 10, "ticks to trigger and to wait for")
	host := flags.String("host", "", "Host header, where it differs from the URL's")
	origin := flags.String("origin", "", "Origin header")
	timeout := flags.Duration("timeout", 30*time.Second, "limit for the whole run")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *url == "" || *tickURL == "" || *count < 1 {
		return errors.New("--url, --tick-url and a --count above 0 are required")
	}
	s, err := dial(*url, *host, *origin, time.Now().Add(*timeout))
	if err != nil {
		return err
	}
	if _, err := s.call("connect", map[string]any{}); err != nil {
		return err
	}
	if _, err := s.call("subscribe", map[string]any{"channel": channel}); err != nil {
		return err
	}
	if err := s.ticks(*tickURL, *host, *count); err != nil {
		return err
	}
	if err := s.checkHistory(); err != nil {
		return err
	}
	fmt.Printf("ok %d\n", *count)
	return s.close()
}

func dial(url, host, origin string, deadline time.Time) (*session, error) {
	header := http.Header{}
	if host != "" {
		header.Set("Host", host)
	}
	if origin != "" {
		header.Set("Origin", origin)
	}
	conn, response, err := websocket.DefaultDialer.Dial(url, header)
	if err != nil && response != nil {
		return nil, fmt.Errorf("handshake status %d: %w", response.StatusCode, err)
	}
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(deadline)
	return &session{conn: conn}, nil
}

// next returns the next reply or push; it answers pings by itself, which the protocol asks for.
func (s *session) next() (*reply, error) {
	for {
		if s.decoder == nil {
			_, data, err := s.conn.ReadMessage()
			if err != nil {
				return nil, err
			}
			s.decoder = json.NewDecoder(bytes.NewReader(data))
		}
		r := &reply{}
		err := s.decoder.Decode(r)
		switch {
		case errors.Is(err, io.EOF):
			s.decoder = nil
		case err != nil:
			return nil, err
		case r.ID == 0 && r.Push == nil:
			if err := s.conn.WriteMessage(websocket.TextMessage, []byte("{}")); err != nil {
				return nil, err
			}
		default:
			return r, nil
		}
	}
}

func (s *session) call(method string, request map[string]any) (*reply, error) {
	s.lastID++
	if err := s.conn.WriteJSON(map[string]any{"id": s.lastID, method: request}); err != nil {
		return nil, err
	}
	for {
		r, err := s.next()
		switch {
		case err != nil:
			return nil, err
		case r.Push != nil:
			s.keep(r)
		case r.Error != nil:
			return nil, fmt.Errorf("%s: error %d %s", method, r.Error.Code, r.Error.Message)
		case r.ID != s.lastID:
			return nil, fmt.Errorf("%s: answer to command %d, want %d", method, r.ID, s.lastID)
		default:
			return r, nil
		}
	}
}

func (s *session) keep(r *reply) {
	if r.Push.Pub != nil && r.Push.Channel == channel {
		s.pushed = append(s.pushed, *r.Push.Pub)
	}
}

// ticks triggers count publications and prints as many; each must follow its predecessor without a gap.
func (s *session) ticks(url, host string, count int) error {
	failed := make(chan error, 1)
	go func() {
		for range count {
			if err := post(url, host); err != nil {
				failed <- err
				_ = s.conn.Close()
				return
			}
		}
		close(failed)
	}()
	var last uint64
	for received := 0; received < count; {
		for len(s.pushed) == 0 {
			r, err := s.next()
			if err != nil {
				select {
				case posting := <-failed:
					return errors.Join(posting, err)
				default:
					return err
				}
			}
			if r.Push != nil {
				s.keep(r)
			}
		}
		for _, p := range s.pushed {
			if last != 0 && p.Offset != last+1 {
				return fmt.Errorf("publication %d came after %d", p.Offset, last)
			}
			last = p.Offset
			received++
			fmt.Println(string(p.Data))
		}
		s.pushed = nil
	}
	return <-failed
}

func post(url, host string) error {
	request, err := http.NewRequest(http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("tick: status %d", response.StatusCode)
	}
	return nil
}

// checkHistory publishes to a channel that nobody else uses and reads it back.
func (s *session) checkHistory() error {
	name := fmt.Sprintf("notes-%d", time.Now().UnixNano())
	note := `{"note":"from the client"}`
	if _, err := s.call("publish", map[string]any{"channel": name, "data": json.RawMessage(note)}); err != nil {
		return err
	}
	r, err := s.call("history", map[string]any{"channel": name, "limit": 10})
	if err != nil {
		return err
	}
	if r.History == nil || len(r.History.Publications) != 1 || string(r.History.Publications[0].Data) != note {
		return fmt.Errorf("history: %+v, want one publication %s", r.History, note)
	}
	return nil
}

func (s *session) close() error {
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := s.conn.WriteControl(websocket.CloseMessage, message, time.Now().Add(5*time.Second)); err != nil {
		return err
	}
	for {
		_, _, err := s.conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return s.conn.Close()
		}
		if err != nil {
			return fmt.Errorf("close not answered with 1000: %w", err)
		}
	}
}
