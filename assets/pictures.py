"""Pictures in the metadata of assets. The UI strips inline SVG from Markdown but shows an image with a data address.

What belongs here: the wrapping. What does not: what a picture shows (`flywheel.reporting`).
https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

import base64

import dagster as dg


def picture(svg: str, alt: str) -> dg.MarkdownMetadataValue:
    """SVG text as metadata; the UI opens it behind "[Show Markdown]"."""
    return dg.MetadataValue.md(f"![{alt}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")
