"""The services of the monitored platform: endpoints, rates, weights and words, as its documentation tables them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Service:
    """One service. `error_rate` is of its requests; `mean_ms` is before errors and spikes."""

    name: str
    version: str
    error_rate: float
    mean_ms: float
    prefix: str
    endpoints: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Whole paths; identifiers are written as `{id}`, as the source writes them."""
        return tuple(f"/api/v1/{self.prefix}/{endpoint}" for endpoint in self.endpoints)


def _service(name: str, version: str, error_rate: float, mean_ms: float, prefix: str, endpoints: str) -> Service:
    return Service(f"{name}-service", version, error_rate, mean_ms, prefix, tuple(endpoints.split()))


# 62 endpoints, as documented. The real data has 54 and the document names none, so the last of each service is ours.
SERVICES: Final = (
    _service(
        "auth", "2.3.1", 0.02, 150, "auth",
        "login logout register refresh verify password/reset password/change mfa/enable mfa/verify sessions",
    ),
    _service(
        "payment", "1.8.2", 0.05, 450, "payments",
        "create capture refund status methods history webhook disputes",
    ),
    _service(
        "user", "3.1.0", 0.01, 85, "users",
        "{id} profile update preferences avatar notifications search delete export",
    ),
    _service(
        "product", "2.7.4", 0.015, 120, "products",
        "{id} list search categories inventory pricing reviews recommendations compare",
    ),
    _service(
        "order", "1.9.1", 0.03, 280, "orders",
        "{id} create cancel status history tracking invoice returns",
    ),
    _service(
        "notification", "1.5.3", 0.04, 200, "notifications",
        "send email sms push preferences history templates",
    ),
    _service("analytics", "2.1.0", 0.02, 350, "analytics", "events metrics reports dashboard export funnels"),
    _service("search", "1.6.8", 0.025, 95, "search", "query suggestions filters autocomplete trending"),
)  # fmt: skip

METHODS: Final = {"GET": 60, "POST": 25, "PUT": 8, "DELETE": 4, "PATCH": 3}
ENVIRONMENTS: Final = {"production": 70, "staging": 20, "development": 10}
SUCCESSES: Final = {200: 85, 201: 10, 202: 3, 204: 2}
ERRORS: Final = {400: 15, 401: 10, 403: 8, 404: 20, 409: 5, 422: 8, 429: 7, 500: 10, 502: 5, 503: 7, 504: 5}
NO_USER_SHARE: Final = 0.1
CACHE_HIT_SHARE: Final = 0.37  # of what went well, in the real data; the document does not say
SPIKE_SHARE: Final = 0.05
BUSINESS_HOURS: Final = range(9, 18)  # clock hours 9 to 17, UTC, whole

ERROR_WORDS: Final = {
    400: ("ValidationError", ("Invalid JSON syntax", "Missing Content-Type header", "Request body too large")),
    401: ("AuthenticationError", ("Authentication token expired", "Invalid credentials", "Missing token")),
    403: ("AuthenticationError", ("Account suspended", "Insufficient permissions", "Access denied from this region")),
    404: ("NotFoundError", ("Endpoint does not exist", "Resource not found", "Record was deleted")),
    409: ("ConflictError", ("Duplicate email address", "Version conflict", "Resource already exists")),
    422: ("ValidationError", ("Validation failed", "Field out of range", "Unsupported currency")),
    429: ("RateLimitError", ("Rate limit exceeded", "Throttling active", "Too many requests")),
    500: ("ServerError", ("Database connection failed", "Unexpected error occurred", "Null reference")),
    502: ("ServerError", ("Bad gateway", "Upstream closed the connection", "Invalid upstream response")),
    503: ("ServerError", ("Service unavailable", "Maintenance in progress", "Circuit breaker open")),
    504: ("TimeoutError", ("Gateway timeout", "Upstream timed out", "Database query timed out")),
}

# country, city as JSON text (the source escapes what is not ASCII), region
CITIES: Final = (
    ("US", "New York", "NA"),
    ("US", "San Francisco", "NA"),
    ("US", "Chicago", "NA"),
    ("CA", "Toronto", "NA"),
    ("GB", "London", "EU"),
    ("DE", "Berlin", "EU"),
    ("FR", "Paris", "EU"),
    ("JP", "Tokyo", "APAC"),
    ("SG", "Singapore", "APAC"),
    ("AU", "Sydney", "APAC"),
    ("IN", "Mumbai", "APAC"),
    ("BR", "S\\u00e3o Paulo", "LATAM"),
)
DEVICES: Final = ("desktop", "mobile", "tablet", "api_client", "bot")  # the document says "api", the data "api_client"
USER_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.43 Mobile Safari/537.36",
    "okhttp/4.12.0",
    "Dart/3.2 (dart:io)",
    "Go-http-client/1.1",
    "PostmanRuntime/7.36.0",
    "axios/1.6.0",
)
AUTH_METHODS: Final = ("password", "sso", "mfa")
REGISTRATION_SOURCES: Final = ("web", "mobile")
PAYMENT_METHODS: Final = ("credit_card", "debit_card", "paypal", "stripe")
CURRENCIES: Final = ("USD", "EUR", "GBP", "JPY")
