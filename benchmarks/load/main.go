// The load generator: opens WebSockets, speaks what it is told, counts what arrives byte by byte.
//
// Orders come as lines of JSON on standard input and are answered by one line each. One thread,
// one epoll, no allocation per frame: it has to be faster than every server it measures.
// benchmarks/load/__init__.py documents the orders; benchmarks/load/plain.py is the same in Python.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const handshake = "GET /websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n" +
	"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Version: 13\r\n\r\n"

// Of what arrives only messages are counted: the same text comes again in the changed room.
const counted = `{"msg":"changed","collection":"stream-room-messages"`

const stampDigits = 19 // nanoseconds since 1970

type step struct {
	Send  []string `json:"send"`
	Await string   `json:"await"`
	Count int      `json:"count"`
}

type order struct {
	Order    string              `json:"order"`
	Address  string              `json:"address"`
	Count    int                 `json:"count"`
	Parallel int                 `json:"parallel"`
	Seconds  float64             `json:"seconds"`
	Steps    []step              `json:"steps"`
	Names    map[string][]string `json:"names"`
	Mark     string              `json:"mark"`
	Rest     float64             `json:"rest"`
	Frames   int                 `json:"frames"`
	Senders  []int               `json:"senders"`
	Rate     float64             `json:"rate"`
	Template string              `json:"template"`
}

type connection struct {
	fd, number   int
	pending      []byte
	upgraded     bool
	closed       bool
	running      bool
	step, seen   int
	frames, size int
	crc          uint32
}

type load struct {
	epoll       int
	connections []*connection
	byFd        []*connection // index: file descriptor
	steps       []step
	names       map[string][]string
	underWay    int
	failures    []string
	mark        []byte
	rest        time.Duration
	frames      int
	reads       int
	closed      int
	errors      int
	latencies   []int64
	buffer      []byte
	events      []syscall.EpollEvent
}

func main() {
	runtime.GOMAXPROCS(1)
	epoll, err := syscall.EpollCreate1(0)
	must(err)
	l := &load{
		epoll:  epoll,
		buffer: make([]byte, 1<<20),
		events: make([]syscall.EpollEvent, 1024),
	}
	must(syscall.SetNonblock(0, true))
	l.watch(0)
	var input []byte
	for {
		if l.poll(-1) {
			n, err := syscall.Read(0, l.buffer)
			if n == 0 || (err != nil && err != syscall.EAGAIN) {
				return
			}
			if n > 0 {
				input = append(input, l.buffer[:n]...)
			}
			for {
				end := bytes.IndexByte(input, '\n')
				if end < 0 {
					break
				}
				line := append([]byte(nil), input[:end]...)
				input = input[end+1:]
				l.answer(line)
			}
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load generator:", err)
		os.Exit(1)
	}
}

func (l *load) watch(fd int) {
	must(syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd,
		&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}))
}

// poll handles what is readable; whether an order is among it.
func (l *load) poll(milliseconds int) bool {
	if l.rest > 0 {
		pause := syscall.NsecToTimespec(int64(l.rest))
		syscall.Nanosleep(&pause, nil)
	}
	n, err := syscall.EpollWait(l.epoll, l.events, milliseconds)
	if err == syscall.EINTR {
		return false
	}
	must(err)
	ordered := false
	for _, event := range l.events[:n] {
		if event.Fd == 0 {
			ordered = true
			continue
		}
		if c := l.byFd[event.Fd]; c != nil {
			l.read(c)
		}
	}
	return ordered
}

func (l *load) pollUntil(done func() bool, deadline time.Time) bool {
	for !done() {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		l.poll(int(left.Milliseconds()) + 1)
	}
	return true
}

func (l *load) answer(line []byte) {
	var o order
	must(json.Unmarshal(line, &o))
	var result map[string]any
	switch o.Order {
	case "open":
		result = l.open(o)
	case "script":
		result = l.script(o)
	case "reset":
		l.rest = time.Duration(o.Rest * 1e9)
		l.reset(o.Mark)
		result = map[string]any{}
	case "await":
		deadline := time.Now().Add(time.Duration(o.Seconds * 1e9))
		l.pollUntil(func() bool { return l.frames >= o.Frames }, deadline)
		result = l.count()
	case "talk":
		result = l.talk(o)
	default:
		must(fmt.Errorf("unknown order %q", o.Order))
	}
	text, err := json.Marshal(result)
	must(err)
	os.Stdout.Write(append(text, '\n'))
}

// open opens connections and lets each run the steps, `parallel` of them at a time.
func (l *load) open(o order) map[string]any {
	first := len(l.connections)
	host, port, err := net.SplitHostPort(o.Address)
	must(err)
	number, err := strconv.Atoi(port)
	must(err)
	address := &syscall.SockaddrInet4{Port: number}
	copy(address.Addr[:], net.ParseIP(host).To4())
	l.begin(o)
	return l.run(o, o.Count, func(index int) {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		must(err)
		must(syscall.Connect(fd, address))
		must(syscall.SetNonblock(fd, true))
		c := &connection{fd: fd, number: first + index}
		l.connections = append(l.connections, c)
		for fd >= len(l.byFd) {
			l.byFd = append(l.byFd, nil)
		}
		l.byFd[fd] = c
		l.watch(fd)
		l.write(c, []byte(fmt.Sprintf(handshake, o.Address)))
		c.running, c.step = true, -1
		l.underWay++
	})
}

// script lets every connection run more steps.
func (l *load) script(o order) map[string]any {
	l.begin(o)
	return l.run(o, len(l.connections), func(index int) {
		c := l.connections[index]
		c.running, c.step = true, -1
		l.underWay++
		l.next(c)
	})
}

func (l *load) begin(o order) {
	l.steps, l.names, l.failures, l.underWay = o.Steps, o.Names, nil, 0
}

func (l *load) run(o order, count int, start func(int)) map[string]any {
	began := time.Now()
	deadline := began.Add(time.Duration(o.Seconds * 1e9))
	complete := true
	for index := 0; index < count && complete; index++ {
		complete = l.pollUntil(func() bool { return l.underWay < o.Parallel }, deadline)
		if complete {
			start(index)
		}
	}
	complete = complete && l.pollUntil(func() bool { return l.underWay == 0 }, deadline)
	failed := len(l.failures)
	if failed > 3 {
		l.failures = l.failures[:3]
	}
	return map[string]any{
		"connections": len(l.connections), "seconds": time.Since(began).Seconds(),
		"complete": complete && failed == 0, "failed": failed, "failures": l.failures,
	}
}

// next sends the next step of a connection's script, or ends it.
func (l *load) next(c *connection) {
	c.step++
	c.seen = 0
	if c.step >= len(l.steps) {
		c.running = false
		l.underWay--
		return
	}
	for _, text := range l.steps[c.step].Send {
		l.send(c, l.filled(text, c.number))
	}
	if l.steps[c.step].Await == "" {
		l.next(c)
	}
}

// filled puts the connection's own values in the place of {names}.
func (l *load) filled(text string, number int) string {
	for name, values := range l.names {
		if len(values) > 0 {
			text = strings.ReplaceAll(text, "{"+name+"}", values[number%len(values)])
		}
	}
	return text
}

func (l *load) fail(c *connection, reason string) {
	if c.running {
		c.running = false
		l.underWay--
		l.failures = append(l.failures, reason)
	}
}

func (l *load) reset(mark string) {
	l.mark = []byte(mark)
	l.frames, l.reads, l.errors = 0, 0, 0
	l.latencies = l.latencies[:0]
	for _, c := range l.connections {
		c.frames, c.size, c.crc = 0, 0, 0
	}
}

// count tells what arrived since the reset; connections with the same bytes are one entry.
func (l *load) count() map[string]any {
	kinds := map[string]int{}
	bytes := 0
	for _, c := range l.connections {
		kinds[fmt.Sprintf("%d:%d:%08x", c.frames, c.size, c.crc)]++
		bytes += c.size
	}
	result := map[string]any{
		"frames": l.frames, "bytes": bytes, "reads": l.reads, "closed": l.closed,
		"errors": l.errors, "kinds": kinds,
	}
	if len(l.latencies) > 0 {
		sort.Slice(l.latencies, func(a, b int) bool { return l.latencies[a] < l.latencies[b] })
		at := func(part float64) float64 {
			return float64(l.latencies[int(part*float64(len(l.latencies)-1))]) / 1e6
		}
		result["latency_ms"] = map[string]float64{
			"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1),
		}
	}
	return result
}

// talk sends `count` messages at `rate` per second, from each of `senders` in turn, and counts.
func (l *load) talk(o order) map[string]any {
	l.names = o.Names
	began := time.Now()
	gap := time.Duration(1e9 / o.Rate)
	late := time.Duration(0)
	for index := 0; index < o.Count; index++ {
		due := began.Add(time.Duration(index) * gap)
		for left := time.Until(due); left > 0; left = time.Until(due) {
			// epoll counts in whole milliseconds; the last one is spent looking.
			l.poll(int(left.Milliseconds()))
		}
		late = max(late, time.Since(due))
		c := l.connections[o.Senders[index%len(o.Senders)]]
		stamp := strconv.FormatInt(time.Now().UnixNano(), 10)
		l.send(c, strings.ReplaceAll(l.filled(o.Template, c.number), "{stamp}", stamp))
	}
	sent := time.Since(began).Seconds()
	deadline := time.Now().Add(time.Duration(o.Seconds * 1e9))
	l.pollUntil(func() bool { return l.frames >= o.Frames }, deadline)
	result := l.count()
	result["seconds"] = time.Since(began).Seconds()
	result["sending_seconds"] = sent
	result["latest_ms"] = float64(late) / 1e6
	return result
}

func (l *load) write(c *connection, data []byte) {
	for len(data) > 0 {
		n, err := syscall.Write(c.fd, data)
		if err == syscall.EAGAIN {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			l.lost(c, err.Error())
			return
		}
		data = data[n:]
	}
}

// send sends a text frame. Its mask of zeros changes nothing, and is one.
func (l *load) send(c *connection, text string) {
	l.frame(c, 0x81, []byte(text))
}

func (l *load) frame(c *connection, head byte, payload []byte) {
	data := []byte{head, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		data = []byte{head, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload))}
	}
	data = append(data, 0, 0, 0, 0)
	l.write(c, append(data, payload...))
}

func (l *load) lost(c *connection, reason string) {
	if c.closed {
		return
	}
	c.closed = true
	l.closed++
	l.byFd[c.fd] = nil
	syscall.Close(c.fd)
	l.fail(c, reason)
}

func (l *load) read(c *connection) {
	n, err := syscall.Read(c.fd, l.buffer)
	if err == syscall.EAGAIN {
		return
	}
	if n <= 0 {
		l.lost(c, "the server closed the connection")
		return
	}
	data := l.buffer[:n]
	if len(c.pending) > 0 {
		c.pending = append(c.pending, data...)
		data = c.pending
	}
	if !c.upgraded {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			c.pending = append([]byte(nil), data...)
			return
		}
		if !bytes.Contains(data[:min(end, 32)], []byte(" 101 ")) {
			l.lost(c, string(data[:min(len(data), 100)]))
			return
		}
		c.upgraded = true
		data = data[end+4:]
		if c.running {
			l.next(c)
		}
	}
	now := time.Now().UnixNano()
	before := l.frames
	rest := l.parse(c, data, now)
	if l.frames > before {
		l.reads++
	}
	if len(rest) > 0 {
		c.pending = append([]byte(nil), rest...)
	} else if c.pending != nil {
		c.pending = nil
	}
}

func (l *load) parse(c *connection, data []byte, now int64) []byte {
	for len(data) >= 2 {
		length, header := int(data[1]), 2
		switch length {
		case 126:
			if len(data) < 4 {
				return data
			}
			length, header = int(data[2])<<8|int(data[3]), 4
		case 127:
			if len(data) < 10 {
				return data
			}
			length, header = 0, 10
			for _, b := range data[2:10] {
				length = length<<8 | int(b)
			}
		}
		if len(data) < header+length {
			return data
		}
		l.arrived(c, data[0], data[header:header+length], now)
		if c.closed {
			return nil
		}
		data = data[header+length:]
	}
	return data
}

func (l *load) arrived(c *connection, head byte, payload []byte, now int64) {
	switch head & 0x0f {
	case 0x8:
		l.lost(c, fmt.Sprintf("closed: %q", payload))
		return
	case 0x9:
		l.frame(c, 0x8a, payload)
		return
	}
	if len(l.mark) > 0 && bytes.HasPrefix(payload, []byte(counted)) {
		if at := bytes.Index(payload, l.mark); at >= 0 {
			c.frames++
			c.size += len(payload)
			c.crc = crc32.Update(c.crc, crc32.IEEETable, payload)
			l.frames++
			l.time(payload[at+len(l.mark):], now)
			return
		}
	}
	if bytes.HasPrefix(payload, []byte(`{"msg":"ping"`)) {
		l.send(c, `{"msg":"pong"}`)
		return
	}
	refused := bytes.Contains(payload, []byte(`"error":`))
	if refused && bytes.HasPrefix(payload, []byte(`{"msg":"result"`)) {
		l.errors++
	}
	if !c.running || c.step < 0 {
		return
	}
	if refused {
		l.fail(c, string(payload[:min(len(payload), 200)]))
		return
	}
	wanted := l.steps[c.step]
	if bytes.Contains(payload, []byte(wanted.Await)) {
		if c.seen++; c.seen >= max(wanted.Count, 1) {
			l.next(c)
		}
	}
}

// time notes how long a stamped message took.
func (l *load) time(text []byte, now int64) {
	if len(text) < stampDigits {
		return
	}
	stamp, err := strconv.ParseInt(string(text[:stampDigits]), 10, 64)
	if err == nil && stamp > 1e18 {
		l.latencies = append(l.latencies, now-stamp)
	}
}
