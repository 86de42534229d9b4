// What runs in the pods of the checks. The standard library is all it uses.
module weft.dev/tests/k8s/programs/workloads

go 1.24.0
