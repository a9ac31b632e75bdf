// What a Go program does in a container, on nothing but the standard library.
//
// The verbs are those of the guests in other languages: tour, filter, exit CODE, fail.
package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	switch verb {
	case "tour":
		tour(os.Args[2:])
	case "filter":
		filter()
	case "exit":
		code, err := strconv.Atoi(os.Args[2])
		must(err)
		os.Exit(code)
	case "fail":
		panic("asked to fail")
	default:
		fmt.Fprintf(os.Stderr, "no such verb: %q\n", verb)
		os.Exit(64)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go guest:", err)
		os.Exit(1)
	}
}

// Arguments, environment, a file, clocks and random numbers; each line says what was seen.
func tour(words []string) {
	fmt.Printf("args: %s\n", strings.Join(words, "|"))
	fmt.Printf("env: %s\n", os.Getenv("GREETING"))

	must(os.MkdirAll("/tmp/tour/deep", 0o755))
	must(os.WriteFile("/tmp/tour/deep/note", []byte("first\n"), 0o644))
	file, err := os.OpenFile("/tmp/tour/deep/note", os.O_APPEND|os.O_WRONLY, 0)
	must(err)
	_, err = file.WriteString("zweite Zeile: ü\n")
	must(err)
	must(file.Close())
	text, err := os.ReadFile("/tmp/tour/deep/note")
	must(err)
	fmt.Printf("file: %q\n", strings.Split(strings.TrimSpace(string(text)), "\n"))
	must(os.RemoveAll("/tmp/tour"))
	_, err = os.Stat("/tmp/tour")
	fmt.Printf("gone: %t\n", os.IsNotExist(err))

	// Goroutines that sleep: Go's scheduler waits in poll_oneoff.
	began := time.Now()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { time.Sleep(20 * time.Millisecond) })
	}
	all.Wait()
	slept := time.Since(began)
	fmt.Printf("slept: %t\n", slept >= 20*time.Millisecond)
	fmt.Printf("after 2024: %t\n", time.Now().Year() > 2024)
	draw := make([]byte, 8)
	_, err = rand.Read(draw)
	must(err)
	fmt.Printf("random: %x\n", draw)
}

// Lines of standard input in capitals, and their number at the end.
func filter() {
	lines := bufio.NewScanner(os.Stdin)
	count := 0
	for lines.Scan() {
		fmt.Println(strings.ToUpper(lines.Text()))
		count++
	}
	must(lines.Err())
	fmt.Fprintf(os.Stderr, "%d lines\n", count)
}
