// The CustomResourceDefinitions of the Gateway API lie in its module. Nothing of it is compiled.
module weft.dev/tests/k8s/programs/gateway-api

go 1.24.0

require sigs.k8s.io/gateway-api v1.6.1
