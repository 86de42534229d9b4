//go:build tool

// Package h2spec pins the conformance suite that h2spec.sh builds. Nothing of it is part of Weft.
package h2spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
