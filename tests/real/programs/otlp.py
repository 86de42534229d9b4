"""An OTLP receiver by other people's library: decodes what arrives and writes a line of JSON for each span.

usage: otlp.py ADDRESS:PORT"""
import json
import sys
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def export(request, _context):
    for of_resource in request.resource_spans:
        resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
        for span in (span for scope in of_resource.scope_spans for span in scope.spans):
            said = {
                "service": resource.get("service.name"),
                "kind": Span.SpanKind.Name(span.kind),
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
            }
            print(json.dumps(said), flush=True)
    return otlp.ExportTraceServiceResponse()


method = grpc.unary_unary_rpc_method_handler(
    export,
    request_deserializer=otlp.ExportTraceServiceRequest.FromString,
    response_serializer=otlp.ExportTraceServiceResponse.SerializeToString,
)
service = "opentelemetry.proto.collector.trace.v1.TraceService"
server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
