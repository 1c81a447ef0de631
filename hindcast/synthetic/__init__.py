"""Generators of exports, one a format, each with planted defects and an answer key."""

from collections.abc import Callable

from hindcast.errors import ConfigurationError
from hindcast.synthetic.amplitude import generate_amplitude
from hindcast.synthetic.analytics_history import generate_analytics_history
from hindcast.synthetic.api_monitoring import generate_api_monitoring
from hindcast.synthetic.email_engagement import generate_email_engagement
from hindcast.synthetic.llm_analytics import generate_llm_analytics
from hindcast.synthetic.spec import Answers, GenerateSpec

__all__ = ["GENERATORS", "Answers", "GenerateSpec", "generate"]

GENERATORS: dict[str, Callable[[GenerateSpec], Answers]] = {
    "amplitude": generate_amplitude,
    "analytics_history": generate_analytics_history,
    "api_monitoring": generate_api_monitoring,
    "email_engagement": generate_email_engagement,
    "llm_analytics": generate_llm_analytics,
}


def generate(spec: GenerateSpec) -> Answers:
    """Write the export `spec` asks for and, beside it, `<out>.answers.json`; replaces older files.

    Refuses a folder that holds anything. Raises ConfigurationError for wrong usage, OSError for a full disk.
    """
    generator = GENERATORS.get(spec.format)
    if generator is None:
        raise ConfigurationError(f"format {spec.format!r}: no generator, expected one of {', '.join(GENERATORS)}")
    return generator(spec)
