// The application of the checks: a server that says who it is, and the client that asks it, in one file that needs
// nothing else in its image.
//
//	probe serve                  HTTP on :8080; /ready answers 503 while the file /tmp/unready is there
//	probe get URL [TIMES]        asks, prints each answer
//	probe fill ADDRESS COUNT KIB SECONDS   so many requests to there whose heads do not end, each of so many KiB, held
//	probe resolve NAME           prints the addresses, one a line
//	probe webhook CERT KEY       an admission webhook on :8443 that writes an annotation
//	probe touch FILE | sleep SECONDS | exit CODE
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("probe serve | get URL [TIMES] | fill ADDRESS COUNT KIB SECONDS | resolve NAME | webhook CERT KEY | touch FILE | sleep SECONDS | exit CODE")
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func run(verb string, words []string) error {
	switch {
	case verb == "serve" && len(words) == 0:
		return serve()
	case verb == "get" && (len(words) == 1 || len(words) == 2):
		return get(words)
	case verb == "fill" && len(words) == 4:
		return fill(words[0], words[1:])
	case verb == "resolve" && len(words) == 1:
		return resolve(words[0])
	case verb == "webhook" && len(words) == 2:
		return serveWebhook(words[0], words[1])
	case verb == "touch" && len(words) == 1:
		return os.WriteFile(words[0], nil, 0o644)
	case verb == "sleep" && len(words) == 1:
		seconds, err := strconv.Atoi(words[0])
		time.Sleep(time.Duration(seconds) * time.Second)
		return err
	case verb == "exit" && len(words) == 1:
		code, err := strconv.Atoi(words[0])
		if err == nil {
			os.Exit(code)
		}
		return err
	}
	return fmt.Errorf("no such thing to do: %s %q", verb, words)
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	http.HandleFunc("/ready", func(answer http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat("/tmp/unready"); err == nil {
			http.Error(answer, "told to be unready", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		log.Printf("%s %s from %s", request.Method, request.URL.Path, request.RemoteAddr)
		fmt.Fprintln(answer, name)
	})
	log.Printf("%s serves on :8080", name)
	return http.ListenAndServe(":8080", nil)
}

func get(words []string) error {
	times := 1
	if len(words) == 2 {
		asked, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		times = asked
	}
	// A connection for each request: a Service picks an endpoint for a connection, not for a request.
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range times {
		answer, err := client.Get(words[0])
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, io.LimitReader(answer.Body, 1<<20))
		answer.Body.Close()
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", answer.Status)
		}
	}
	return nil
}

func fill(address string, words []string) error {
	var numbers [3]int
	for n, word := range words {
		number, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		numbers[n] = number
	}
	count, kib, seconds := numbers[0], numbers[1], numbers[2]
	head := "GET / HTTP/1.1\r\nhost: " + address + "\r\nx-filler: " + strings.Repeat("a", kib<<10)
	held := 0
	for range count {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			continue // nobody takes it: that is what it is to be able to do
		}
		defer connection.Close()
		connection.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		io.WriteString(connection, head)
		held++
	}
	fmt.Printf("%d of %d held\n", held, count)
	time.Sleep(time.Duration(seconds) * time.Second)
	return nil
}

func resolve(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	for _, address := range addresses {
		fmt.Println(address)
	}
	return err
}
