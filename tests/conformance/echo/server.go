package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serve answers on all ports it is told until one of them fails.
func serve(arguments []string) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	var plain ports
	flags.Var(&plain, "port", "a port for HTTP; may be repeated")
	secure := flags.String("tls", "", "which of them is for TLS")
	rpc := flags.String("grpc", "7070", "the port for gRPC")
	// The Services name these; no test of the mesh's profiles connects to them.
	for _, unused := range []string{"tcp", "crt", "key"} {
		flags.String(unused, "", "not served")
	}
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	failed := make(chan error)
	for _, port := range plain {
		if port != *secure {
			go func() { failed <- http.ListenAndServe(":"+port, http.HandlerFunc(echo)) }()
		}
	}
	go func() { failed <- serveRPC(*rpc) }()
	return <-failed
}

type ports []string

func (p *ports) String() string { return strings.Join(*p, ",") }

func (p *ports) Set(port string) error {
	*p = append(*p, port)
	return nil
}

// echo answers with what it was asked.
func echo(answer http.ResponseWriter, request *http.Request) {
	seen := told{}
	seen.add("Method", request.Method)
	seen.add("Proto", request.Proto)
	seen.add("Host", request.Host)
	seen.add("URL", request.URL.RequestURI())
	seen.from(request.RemoteAddr)
	for name, values := range request.Header {
		for _, value := range values {
			seen.add("RequestHeader", name+":"+value)
		}
	}
	answer.Write([]byte(seen.text()))
}

// The one service, written out: a text goes there and comes back.
var service = grpc.ServiceDesc{
	ServiceName: "ambit.test.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: echoRPC}},
}

const method = "/ambit.test.Echo/Echo"

func serveRPC(port string) error {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(&service, nil)
	return server.Serve(listener)
}

func echoRPC(_ any, call context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := decode(new(wrapperspb.StringValue)); err != nil {
		return nil, err
	}
	seen := told{}
	seen.add("Proto", "GRPC")
	if peer, known := peer.FromContext(call); known {
		seen.from(peer.Addr.String())
	}
	headers, _ := metadata.FromIncomingContext(call)
	for name, values := range headers {
		if name == ":authority" {
			seen.add("Host", strings.Join(values, ","))
			continue
		}
		for _, value := range values {
			seen.add("RequestHeader", name+":"+value)
		}
	}
	return wrapperspb.String(seen.text()), nil
}

// told is the report, line by line.
type told []string

func (t *told) add(field, value string) { *t = append(*t, field+"="+value) }

func (t *told) from(address string) {
	if ip, _, err := net.SplitHostPort(address); err == nil {
		t.add("IP", ip)
	}
}

// text begins with who answers, which is the pod's name.
func (t *told) text() string {
	name, _ := os.Hostname()
	return fmt.Sprintf("Hostname=%s\n%s\n", name, strings.Join(*t, "\n"))
}
