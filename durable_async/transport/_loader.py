"""Reduces what aiobotocore reads from disk for its first client to what a Lambda client needs.

The extension point is the ``data_loader`` component of a session. The default one lists the directories of four hundred
services twice, and decodes the model of all of Lambda and the 1.2 MB of ``endpoints.json``, which endpoint rules have
replaced. Together this is most of the time that a first client takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_async._wire.text import JsonObject
from durable_async.transport._model import SERVICE_MODEL

if TYPE_CHECKING:
    from durable_async.transport._botocore import Loader

_LAMBDA = "lambda"


class LambdaLoader:
    """A botocore loader whose Lambda has the operations of ``model``. For other data it calls ``loader``.

    :param model: by default the two operations of an invocation
    """

    def __init__(self, loader: Loader, model: JsonObject = SERVICE_MODEL) -> None:
        self._loader = loader
        self._model = model
        self._endpoints: tuple[JsonObject, str] | None = None

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> JsonObject:
        if service_name != _LAMBDA:  # a credential provider's STS or SSO client
            return self._loader.load_service_model(service_name, type_name, api_version)
        if type_name == "service-2":
            return self._model
        version = api_version or self._loader.determine_latest_version(service_name, type_name)
        return self._loader.load_data(f"{service_name}/{version}/{type_name}")

    def load_data_with_path(self, name: str) -> tuple[JsonObject, str]:
        """Return the data and the path of its file."""
        if name != "endpoints":
            return self._loader.load_data_with_path(name)
        if self._endpoints is None:
            partitions, path = self._loader.load_data_with_path("partitions")
            self._endpoints = (_endpoints(partitions), path)
        return self._endpoints

    def load_data(self, name: str) -> JsonObject:
        return self.load_data_with_path(name)[0]

    def warm_up(self) -> None:
        """Read now the data that making a client reads."""
        for name in ("endpoints", "partitions", "sdk-default-configuration"):
            self.load_data(name)
        self.load_service_model(_LAMBDA, "endpoint-rule-set-1")

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._loader, name)
        return found


def _endpoints(partitions: JsonObject) -> JsonObject:
    """Return data in the format of ``endpoints.json``, without its list of services.

    botocore wants them for a region's partition and a default host name. Where a request goes is decided later, by the
    rules of ``endpoint-rule-set-1``.
    """
    return {
        "version": 3,
        "partitions": [
            {
                "partition": partition["id"],
                "regionRegex": partition["regionRegex"],
                "regions": partition["regions"],
                "dnsSuffix": partition["outputs"]["dnsSuffix"],
                "defaults": {
                    "hostname": "{service}.{region}.{dnsSuffix}",
                    "protocols": ["https"],
                    "signatureVersions": ["v4"],
                    "variants": _variants(partition["outputs"]),
                },
                "services": {},
            }
            for partition in partitions["partitions"]
        ],
    }


def _variants(outputs: dict[str, object]) -> list[dict[str, object]]:
    one, both = outputs["dnsSuffix"], outputs["dualStackDnsSuffix"]
    plain, fips = "{service}.{region}.{dnsSuffix}", "{service}-fips.{region}.{dnsSuffix}"
    return [
        {"tags": ["fips"], "hostname": fips, "dnsSuffix": one},
        {"tags": ["dualstack"], "hostname": plain, "dnsSuffix": both},
        {"tags": ["dualstack", "fips"], "hostname": fips, "dnsSuffix": both},
    ]
