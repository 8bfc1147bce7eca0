"""Reads a call of OTLP as its makers do: a metrics export request as JSON from standard input, by the message that
opentelemetry-proto generates. Prints how many laptops, metrics and points there are; fails on a field it does not know."""

import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

request = json_format.Parse(sys.stdin.read(), ExportMetricsServiceRequest())
metrics = [metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
kinds = {metric.WhichOneof("data") for metric in metrics}
assert kinds <= {"gauge", "sum"}, kinds
points = [point for metric in metrics for point in getattr(metric, metric.WhichOneof("data")).data_points]
assert all(point.time_unix_nano > 1_600_000_000 * 10**9 for point in points), "a point without its time"
assert all(point.WhichOneof("value") == "as_double" for point in points), "a point without its number"
assert all(metric.sum.aggregation_temporality == 2 and metric.sum.is_monotonic
           for metric in metrics if metric.HasField("sum")), "a sum that is not cumulative"
hosts = {attribute.value.string_value for resource in request.resource_metrics
         for attribute in resource.resource.attributes if attribute.key == "host.id"}
print(len(hosts), len(metrics), len(points))
