// The programs of Kubernetes' conformance suite: what go.mod has to require for them.
//
// They are built from their own packages; nothing of this file runs.
package conformance

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "k8s.io/kubernetes/test/e2e"
)
