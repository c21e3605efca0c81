"""Errors that carry what every surface needs to show them: a stable code and an HTTP status."""


class ServiceError(Exception):
    """An error with a stable `code` (kebab-case, the tail of the problem type) and the HTTP `status` that renders it."""

    code = "internal-error"
    status = 500


class BundleError(ServiceError):
    """A model bundle that cannot be trusted or understood; the message names the file at fault."""

    code = "bundle-refused"


class TaxonomyError(ServiceError):
    """A taxonomy file or section that breaks its own rules."""

    code = "taxonomy-invalid"


class InputError(ServiceError):
    """Input that the caller can mend; the message names the field, column or row."""

    code = "input-invalid"
    status = 422
