"""What is used of botocore's and aiobotocore's objects, which have no types of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, overload

from durable_async._wire.text import JsonObject


class Loader(Protocol):
    """Reads botocore's data files: models of services and endpoints."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> JsonObject: ...
    def determine_latest_version(self, service_name: str, type_name: str) -> str: ...
    def load_data_with_path(self, name: str) -> tuple[JsonObject, str]: ...
    def load_data(self, name: str) -> JsonObject: ...


class Config(Protocol):
    retries: Mapping[str, int]

    def merge(self, other_config: Config) -> Config: ...


class Events(Protocol):
    def register_first(self, event_name: str, handler: Callable[..., object]) -> None: ...


class Meta(Protocol):
    events: Events
    config: Config


class Client(Protocol):
    """A client of any service. Its operations are methods that botocore makes from the service's model."""

    meta: Meta


class Credentials(Protocol):
    """:ivar method: where botocore found them, such as ``env``"""

    method: str


class Session(Protocol):
    user_agent_extra: str

    def user_agent(self) -> str: ...
    def get_config_variable(self, logical_name: str) -> str | None: ...
    def get_scoped_config(self) -> Mapping[str, object]: ...
    def set_credentials(self, access_key: str, secret_key: str) -> None: ...
    async def get_credentials(self) -> Credentials | None: ...
    @overload
    def get_component(self, name: Literal["data_loader"]) -> Loader: ...
    @overload
    def get_component(self, name: Literal["credential_provider"]) -> object: ...
    def register_component(self, name: str, component: object) -> None: ...
    def create_client(
        self, service_name: str, *, region_name: str | None, endpoint_url: str | None, config: Config
    ) -> AbstractAsyncContextManager[Client]: ...
