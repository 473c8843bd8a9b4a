package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// patience is for one request: the suite asks again whoever did not answer.
const patience = 5 * time.Second

// asked is one command of the suite's.
type asked struct {
	url     *url.URL
	method  string
	headers headers
}

// ask makes the requests and prints a report of each, with an empty line after it.
func ask(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("client URL [--method=M] [-H NAME:VALUE] [--count=N]")
	}
	target, err := url.Parse(arguments[0])
	if err != nil {
		return err
	}
	request := asked{url: target}
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.StringVar(&request.method, "method", http.MethodGet, "the method")
	flags.Var(&request.headers, "H", "a header; may be repeated")
	count := flags.Int("count", 1, "how many requests")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	send, err := request.sender()
	if err != nil {
		return err
	}
	for range *count {
		limited, done := context.WithTimeout(context.Background(), patience)
		report, err := send(limited)
		done()
		if err != nil {
			return err
		}
		fmt.Println(report)
	}
	return nil
}

// sender is how one request is made, all on the same connection.
func (a asked) sender() (func(context.Context) (string, error), error) {
	switch a.url.Scheme {
	case "http":
		// What is redirected is reported, not followed.
		client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		return func(limited context.Context) (string, error) { return a.overHTTP(limited, &client) }, nil
	case "grpc":
		connection, err := grpc.NewClient(a.url.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
		return func(limited context.Context) (string, error) { return a.overRPC(limited, connection) }, err
	default:
		return nil, fmt.Errorf("no client for %s", a.url.Scheme)
	}
}

func (a asked) overHTTP(limited context.Context, client *http.Client) (string, error) {
	request, err := http.NewRequestWithContext(limited, a.method, a.url.String(), nil)
	if err != nil {
		return "", err
	}
	for _, header := range a.headers {
		if http.CanonicalHeaderKey(header.name) == "Host" {
			request.Host = header.value
		} else {
			request.Header.Add(header.name, header.value)
		}
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	report := told{}
	report.add("StatusCode", fmt.Sprint(answer.StatusCode))
	for name, values := range answer.Header {
		report.add("ResponseHeader", name+":"+strings.Join(values, ","))
	}
	return strings.Join(report, "\n") + "\n" + string(body), nil
}

// A call that succeeds is reported as 200, as the suite expects.
func (a asked) overRPC(limited context.Context, connection *grpc.ClientConn) (string, error) {
	for _, header := range a.headers {
		limited = metadata.AppendToOutgoingContext(limited, header.name, header.value)
	}
	answer := new(wrapperspb.StringValue)
	if err := connection.Invoke(limited, method, wrapperspb.String("echo"), answer); err != nil {
		return "", err
	}
	return "StatusCode=200\n" + answer.GetValue(), nil
}

type header struct{ name, value string }

type headers []header

func (h *headers) String() string { return "" }

func (h *headers) Set(text string) error {
	name, value, found := strings.Cut(text, ":")
	if !found {
		return fmt.Errorf("%q is no NAME:VALUE", text)
	}
	*h = append(*h, header{name, value})
	return nil
}
