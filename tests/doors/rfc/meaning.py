"""RFC 9110, 3986, 6455 and others: what the parts of a request mean."""

# RFC 9110
HIGHER_MINOR = (
    "RFC 9110 2.5: a minor version number higher than what it implements SHOULD be processed as if it was in the "
    "highest minor version within that major version to which the recipient is conformant."
)
OTHER_MAJOR = (
    "RFC 9110 15.6.6: The 505 (HTTP Version Not Supported) status code indicates that the server does not support"
    " the major version of HTTP that was used in the request message."
)
EMPTY_AUTHORITY = (
    'RFC 9110 4.2.1: A sender MUST NOT generate an "http" URI with an empty host identifier. A recipient that '
    "processes such a URI reference MUST reject it as invalid."
)
USERINFO = (
    "RFC 9110 4.2.4: a recipient SHOULD parse for userinfo and treat its presence as an error. Host = uri-host [ "
    '":" port ] has none.'
)
NO_FRAGMENT = (
    "RFC 9110 7.1: The target URI excludes the reference's fragment component, if any, since fragment identifiers"
    " are reserved for client-side processing."
)
ANY_FIELD = (
    "RFC 9110 5.1: A proxy MUST forward unrecognized header fields unless the field name is listed in the "
    "Connection header field or the proxy is specifically configured to block them."
)
NAME_IS_TOKEN = (
    "RFC 9110 5.1: field-name = token. RFC 9110 5.6.2: token = 1*tchar, with none of the delimiters (DQUOTE and "
    '"(),/:;<=>?@[\\]{}").'
)
NAME_CASE = "RFC 9110 5.1: Field names are case-insensitive."
FIELD_ORDER = "RFC 9110 5.3: a proxy MUST NOT change the order of these field line values when forwarding a message."
TOO_LARGE = (
    "RFC 9110 5.4: A server that receives a request header field line, field value, or set of fields larger than "
    "it wishes to process MUST respond with an appropriate 4xx (Client Error) status code. RFC 6585 5: 431."
)
WITHIN_LIMITS = (
    "RFC 9110 5.4: HTTP does not place a predefined limit on the length of each field line, field value, or on "
    "the length of a header section as a whole. Chosen: 256 fields and 128 KiB, for every request alike."
)
OWS = "RFC 9110 5.5: a field parsing implementation MUST exclude such whitespace prior to evaluating the field value."
NUL_IN_VALUE = (
    "RFC 9110 5.5: a recipient of CR, LF, or NUL within a field value MUST either reject the message or replace "
    "each of those characters with SP. Chosen: rejected."
)
CTL_IN_VALUE = "RFC 9110 5.5: Field values containing other CTL characters are also invalid. Chosen: rejected."
OBS_TEXT = (
    "RFC 9110 5.5: a recipient SHOULD treat other allowed octets in field content (i.e., obs-text) as opaque data."
)
HOP_BY_HOP = (
    "RFC 9110 7.6.1: Intermediaries MUST, for each connection-option in this field, remove any header or trailer "
    "field(s) from the message with the same name as the connection-option, and then remove the Connection header"
    " field itself."
)
OPTION_OF_ALL = (
    "RFC 9110 7.6.1: A sender MUST NOT send a connection option corresponding to a field that is intended for all"
    " recipients of the content."
)
TARGET_UNCHANGED = (
    'RFC 9110 7.7: A proxy MUST NOT modify the "absolute-path" and "query" parts of the received request-target '
    "when forwarding it to the next inbound server."
)
UPGRADE_IGNORED = (
    "RFC 9110 7.8: A server MAY ignore a received Upgrade header field if it wishes to continue using the current"
    " protocol on that connection."
)
UPGRADE_IN_1_0 = "RFC 9110 7.8: A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request."
LENGTH = "RFC 9110 8.6: Content-Length = 1*DIGIT"
LARGE_LENGTH = (
    "RFC 9110 8.6: a recipient MUST anticipate potentially large decimal numerals and prevent parsing errors due "
    "to integer conversion overflows or precision loss."
)
METHOD = (
    "RFC 9110 9.1: method = token. The method token is case-sensitive. Additional methods, outside the scope of "
    "this specification, have been specified for use in HTTP."
)
HEAD_IS_BODYLESS = (
    "RFC 9110 9.3.2: The HEAD method is identical to GET except that the server MUST NOT send content in the response."
)
CONNECT = (
    "RFC 9110 9.3.6: An origin server MAY accept a CONNECT request, but most origin servers do not implement "
    "CONNECT. Chosen: this one does not."
)
TRACE = (
    "RFC 9110 9.3.8: The TRACE method requests a remote, application-level loop-back of the request message. "
    "15.5.6: 405 says that the method is known but not supported. Chosen: refused, because the gateway adds "
    "fields that are not for clients."
)
EXPECT = (
    "RFC 9110 10.1.1: The Expect field value is case-insensitive. The only expectation defined by this "
    "specification is 100-continue."
)
OTHER_EXPECTATION = (
    "RFC 9110 10.1.1: A server that receives an Expect field value containing a member other than 100-continue "
    "MAY respond with a 417 (Expectation Failed) status code."
)
EXPECT_IN_1_0 = (
    "RFC 9110 10.1.1: A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that "
    "expectation."
)
INTERIM = (
    "RFC 9110 15.2: A proxy MUST forward 1xx responses unless the proxy itself requested the generation of the "
    "1xx response."
)
TRAILERS_OF_ANSWERS = (
    'RFC 9110 10.1.4: the keyword "trailers" indicates that the sender will not discard trailer fields. Chosen: '
    "it gets those of the service."
)
INTERIM_IN_1_0 = (
    "RFC 9110 15.2: Since HTTP/1.0 did not define any 1xx status codes, a server MUST NOT send a 1xx response to "
    "an HTTP/1.0 client."
)
CLAIMS = (
    "RFC 7239 8.1: The Forwarded field cannot be relied upon to be correct, as it may be modified by every node "
    "on the way to the server, including the client. Chosen: a field that says where a request comes from is "
    "taken from trusted proxies only, with _ read as - (RFC 3875 4.1.18)."
)

# RFC 3986
PATH = 'RFC 3986 3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@"'
LOOSE_PATH = (
    "RFC 3986 3.3 does not allow this octet; browsers and programs send it. RFC 9112 3.2: a recipient SHOULD NOT "
    "attempt to autocorrect. Chosen: carried as it came, since no reader takes it for the end of the target."
)
QUERY = (
    "RFC 3986 3.4: The query component is indicated by the first question mark and terminated by a number sign or"
    " by the end of the URI."
)
REG_NAME = (
    "RFC 3986 3.2.2: URI producers should use names that conform to the DNS syntax, and should limit these names "
    "to no more than 255 characters in length. RFC 1035 2.3.4: names are 255 octets or less, which is 253 as "
    "text."
)
HOST_GRAMMAR = (
    "RFC 3986 3.2.2: host = IP-literal / IPv4address / reg-name; RFC 9112 3.2: an invalid field value of Host "
    "MUST be answered with 400."
)
HOST_CASE = "RFC 3986 3.2.2: The host subcomponent is case-insensitive."
HOST_DOT = (
    "RFC 3986 3.2.2: The rightmost domain label of a fully qualified domain name in DNS may be followed by a "
    "single dot."
)
PORT = "RFC 3986 3.2.3: port = *DIGIT; a component that is empty means the default."

# RFC 6455
HANDSHAKE = (
    "RFC 6455 4.2.1: The client's opening handshake is a GET of HTTP/1.1 or higher with Host, Upgrade: websocket,"
    " Connection: Upgrade, Sec-WebSocket-Key and Sec-WebSocket-Version: 13."
)
HANDSHAKE_CASE = (
    'RFC 6455 4.2.1: an Upgrade header field containing the value "websocket", treated as an ASCII case-'
    'insensitive value; a Connection header field that includes the token "Upgrade", likewise.'
)
HANDSHAKE_FAULT = (
    "RFC 6455 4.2.1: If the server finds that the client did not send a handshake that matches the description, "
    "the server MUST stop processing the handshake and return an HTTP response with an appropriate error code "
    "(such as 400 Bad Request)."
)
HANDSHAKE_KEY = (
    "RFC 6455 4.2.1: a Sec-WebSocket-Key header field with a base64-encoded value that, when decoded, is 16 bytes"
    " in length. 11.3.1: it MUST NOT appear more than once."
)
HANDSHAKE_VERSION = (
    "RFC 6455 4.2.2: If this version does not match a version understood by the server, the server MUST abort the"
    " handshake and instead send an appropriate HTTP error code (such as 426 Upgrade Required) and a Sec-"
    "WebSocket-Version header field."
)
EARLY_FRAMES = (
    "RFC 6455 4.1: Once the client's opening handshake has been sent, the client MUST wait for a response from "
    "the server before sending any further data. Chosen: what came early is kept, and reaches the service after "
    "its 101."
)
PINGS = (
    "RFC 6455 5.5.2: Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response. 5.5.3: it MAY "
    "elect to send one for only the most recently processed Ping frame. Chosen: each is answered."
)
