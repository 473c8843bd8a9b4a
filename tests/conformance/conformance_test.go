// Package conformance runs the Gateway API's own conformance suite against the mesh that KUBECONFIG leads to:
// `cargo xtask test conformance` sees to the cluster, the mesh, the definitions and the waypoints.
package conformance

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/gateway-api/conformance"
	report "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

// The applications of the suite, run from an image that is on the nodes.
const manifests = "mesh-of-own-images.yaml"

// TestGatewayAPI runs every test of the mesh's profiles; `-report-output` says where the report goes.
func TestGatewayAPI(t *testing.T) {
	options := conformance.DefaultOptions(t)
	options.ConformanceProfiles = []suite.ConformanceProfileName{
		suite.MeshHTTPConformanceProfileName, suite.MeshGRPCConformanceProfileName,
	}
	options.SupportedFeatures = claimed()
	options.NamespaceLabels = map[string]string{
		"istio.io/dataplane-mode": "ambient",
		"istio.io/use-waypoint":   "waypoint",
	}
	options.MeshManifests = manifests
	options.ManifestFS = []fs.FS{&conformance.Manifests, fstest.MapFS{manifests: {Data: applications(t)}}}
	options.Implementation = report.Implementation{
		Organization: "ambit",
		Project:      "ambit",
		URL:          "unpublished",
		Version:      os.Getenv("AMBIT_VERSION"),
		Contact:      []string{"unpublished"},
	}
	conformance.RunConformanceWithOptions(t, options)
}

// claimed is every feature that any test of a mesh asks for: nothing is left out.
func claimed() []features.FeatureName {
	var all []features.FeatureName
	for _, test := range tests.ConformanceTests {
		if slices.Contains(test.Features, features.SupportMesh) {
			all = append(all, test.Features...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// applications are the suite's own manifests with their one image replaced by that of ./echo.
func applications(t *testing.T) []byte {
	text, err := fs.ReadFile(&conformance.Manifests, "mesh/manifests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	image := regexp.MustCompile(`registry\.k8s\.io/gateway-api/echo-advanced:\S+`)
	if !image.Match(text) {
		t.Fatal("the suite's applications have another image")
	}
	return image.ReplaceAll(text, []byte("ambit.test/echo:1"))
}
