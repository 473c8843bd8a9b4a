// A client of the control plane made of the field's own parts: its certificate client, its discovery client and its
// messages. It prints what it was given as one JSON object, and fails on all that those messages do not know.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/adsc"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/security"
	"istio.io/istio/pkg/workloadapi"
	authorization "istio.io/istio/pkg/workloadapi/security"
	"istio.io/istio/security/pkg/nodeagent/caclient/providers/citadel"
)

var (
	address   = flag.String("address", "", "IP:port of the control plane")
	name      = flag.String("name", "", "name in its certificate")
	roots     = flag.String("roots", "", "file with the roots of its certificate")
	tokenFile = flag.String("token", "", "file with the token of a service account")
	patience  = flag.Duration("patience", 30*time.Second, "how long everything may take")
)

// What came of it.
type told struct {
	// PEM, the leaf first.
	Chain          []string                   `json:"chain"`
	Addresses      map[string]json.RawMessage `json:"addresses"`
	Authorizations map[string]json.RawMessage `json:"authorizations"`
}

func main() {
	flag.Parse()
	// What Istio's parts log is not the answer.
	logged := log.DefaultOptions()
	logged.OutputPaths = []string{"stderr"}
	out, err := (*told)(nil), log.Configure(logged)
	if err == nil {
		out, err = run()
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() (*told, error) {
	token, err := os.ReadFile(*tokenFile)
	if err != nil {
		return nil, err
	}
	out := &told{Addresses: map[string]json.RawMessage{}, Authorizations: map[string]json.RawMessage{}}
	if out.Chain, err = certificate(bearer(token)); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err := discover(bearer(token), out); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	return out, nil
}

// bearer is a service account's token, as both clients want it.
type bearer string

func (b bearer) GetPlatformCredential() (string, error) { return string(b), nil }
func (b bearer) GetIdentityProvider() string            { return "" }
func (b bearer) Stop()                                  {}
func (b bearer) RequireTransportSecurity() bool         { return true }
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func certificate(token bearer) ([]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	options := &security.Options{CAEndpoint: *address, CAEndpointSAN: *name, ClusterID: "Kubernetes", CredFetcher: token}
	client, err := citadel.NewCitadelClient(options, &citadel.TLSOptions{RootCert: *roots})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	pemRequest := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})
	return client.CSRSign(pemRequest, int64(time.Hour/time.Second))
}

func discover(token bearer, out *told) error {
	trusted := x509.NewCertPool()
	file, err := os.ReadFile(*roots)
	if err != nil || !trusted.AppendCertsFromPEM(file) {
		return fmt.Errorf("no roots in %s: %w", *roots, err)
	}
	config := &adsc.DeltaADSConfig{Config: adsc.Config{
		NodeType: model.Ztunnel, Workload: "peer", Namespace: "default", IP: "127.0.0.1",
		GrpcOpts: []grpc.DialOption{
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: trusted, ServerName: *name})),
			grpc.WithPerRPCCredentials(token),
		},
	}}
	failed := make(chan error, 1)
	keep := func(into map[string]json.RawMessage) func(adsc.HandlerContext, string, string, proto.Message, adsc.Event) {
		return func(context adsc.HandlerContext, name, _ string, resource proto.Message, event adsc.Event) {
			if event == adsc.EventDelete {
				delete(into, name)
				return
			}
			text, err := strictly(resource)
			if err != nil {
				context.Reject(err)
				select {
				case failed <- fmt.Errorf("%s: %w", name, err):
				default:
				}
			}
			into[name] = text
		}
	}
	ofAddresses, ofAuthorizations := keep(out.Addresses), keep(out.Authorizations)
	client := adsc.NewDelta(*address, config,
		adsc.Register(func(c adsc.HandlerContext, name, version string, a *workloadapi.Address, e adsc.Event) {
			ofAddresses(c, name, version, a, e)
		}),
		adsc.Register(func(c adsc.HandlerContext, name, version string, a *authorization.Authorization, e adsc.Event) {
			ofAuthorizations(c, name, version, a, e)
		}),
		adsc.Watch[*workloadapi.Address](""),
		adsc.Watch[*authorization.Authorization](""),
	)
	context, done := context.WithTimeout(context.Background(), *patience)
	defer done()
	ended := make(chan struct{})
	go func() {
		client.Run(context)
		close(ended)
	}()
	select {
	case <-client.Synced():
	case err := <-failed:
		return err
	case <-ended:
		return errors.New("the stream ended")
	}
	// What it has written is read when it is over.
	client.Close()
	done()
	<-ended
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// strictly is a message as JSON, if there is nothing in it that its definition does not know.
func strictly(message proto.Message) (json.RawMessage, error) {
	var unknown error
	err := protorange.Range(message.ProtoReflect(), func(values protopath.Values) error {
		if m, ok := values.Index(-1).Value.Interface().(protoreflect.Message); ok && len(m.GetUnknown()) > 0 {
			unknown = fmt.Errorf("fields that %s does not have", m.Descriptor().FullName())
		}
		return nil
	})
	if err = errors.Join(err, unknown); err != nil {
		return nil, err
	}
	return protojson.Marshal(message)
}
