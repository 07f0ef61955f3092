"""Addresses of the project on the web."""

SITE = "https://ancestral-diffusion.github.io/ancestral/"
"""The site with the documentation and the JSON Schemas; pyproject.toml names it too."""


def schema_address(name: str) -> str:
    """Return the address of the JSON Schema of a kind of file, such as config."""
    return f"{SITE}schemas/{name}.json"
