"""Why a source could not be fetched: the codes of this package, each meaning one thing.

``SourceError.reason`` is one of these, or an ``ArchiveFault`` where what arrived is refused for what it holds.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ReachFault"]


class ReachFault(StrEnum):
    """Why a source could not be fetched."""

    UNREACHABLE = "source_unreachable"
    """No connection: the name is unknown, nobody listens, or the way there is closed."""
    CERTIFICATE = "certificate_not_trusted"
    """The server's certificate is not signed by an authority that this machine trusts."""
    STALLED = "source_stalled"
    """The connection stood and nothing came for too long, as often as we tried; what came is kept."""
    INCOMPLETE = "download_incomplete"
    """The connection was cut again and again; what came is kept, the next try goes on from there."""
    BUSY = "upstream_busy"
    """The server asks to come later, or fails by itself (429 and 5xx), as often as we tried."""
    NOT_FOUND = "upstream_not_found"
    """There is no such repository, file, bucket, object, data set or competition."""
    DENIED = "upstream_denied"
    """Upstream knows who asks, or wants to know, and says no."""
    REFUSED = "upstream_refused"
    """Upstream refuses for a reason of its own."""
    BAD_REDIRECT = "bad_redirect"
    """The server sends on to a place that is not encrypted, or on and on."""
    WEB_PAGE = "web_page_not_archive"
    """A web page came where an archive was expected: a login, often."""
    WRONG_CHECKSUM = "wrong_checksum"
    """The bytes are not those that the address, or the server itself, states the digest of."""
    TOO_LARGE = "download_too_large"
    """More bytes than this machine lets a source have."""
    DISK_FULL = "disk_full"
    """The disk has no room for it."""
    VERSION_GONE = "version_gone"
    """Upstream does not have the wanted version; it may have another."""
    VERSION_UNKNOWN = "version_unknown"
    """Upstream does not say which version it has; only fetching it can tell."""
    UNKNOWN_REF = "unknown_ref"
    """The repository has no such branch or tag."""
    GIT_LFS = "git_lfs"
    """The repository holds pointers to Git LFS where the images should be."""
    NO_S3_CREDENTIALS = "s3_no_credentials"
    """No AWS credentials are set on this machine."""
    NO_KAGGLE_CREDENTIALS = "kaggle_no_credentials"
    """No Kaggle credentials are set on this machine."""
    EXPOSED_KAGGLE_CREDENTIALS = "kaggle_credentials_exposed"
    """Other users of this machine can read the file with the Kaggle key."""
    BAD_KAGGLE_CREDENTIALS = "kaggle_credentials_unusable"
    """The file with the Kaggle key cannot be read, or Kaggle does not know the key."""
    CONSENT_NEEDED = "consent_needed"
    """A competition's rules wait to be accepted in a browser, by the account whose key is used."""
