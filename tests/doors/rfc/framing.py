"""RFC 9112: lines, fields, bodies and connections as bytes."""

# RFC 9112: messages and lines
EMPTY_LINES = (
    "RFC 9112 2.2: a server that is expecting to receive and parse a request-line SHOULD ignore at least one "
    "empty line (CRLF) received prior to the request-line."
)
BARE_LF = (
    "RFC 9112 2.2: a recipient MAY recognize a single LF as a line terminator. Chosen: it is refused, as a proxy "
    "in front may read the line otherwise."
)
BARE_CR = (
    "RFC 9112 2.2: A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR"
    " with SP. Chosen: invalid."
)
BLANK_FIRST_LINE = (
    "RFC 9112 2.2: A recipient that receives whitespace between the start-line and the first header field MUST "
    "either reject the message as invalid or consume each whitespace-preceded line. Chosen: rejected."
)
NOT_HTTP = (
    "RFC 9112 2.2: When a server receives a sequence of octets that does not match the HTTP-message grammar, the "
    "server SHOULD respond with a 400 (Bad Request) response and close the connection."
)
VERSION = (
    'RFC 9112 2.3: HTTP-version = HTTP-name "/" DIGIT "." DIGIT; HTTP-name = %x48.54.54.50. HTTP-version is case-'
    "sensitive."
)
OWN_VERSION = (
    "RFC 9112 2.3: Intermediaries that process HTTP messages MUST send their own HTTP-version in forwarded messages."
)
REQUEST_LINE = "RFC 9112 3: request-line = method SP request-target SP HTTP-version"
WORD_BORDERS = (
    "RFC 9112 3: recipients MAY instead parse on whitespace-delimited word boundaries. Chosen: not done, as "
    "lenient parsing can result in request smuggling."
)
LONG_TARGET = (
    "RFC 9112 3: A server that receives a request-target longer than any URI it wishes to parse MUST respond with"
    " a 414 (URI Too Long) status code."
)
LINE_OF_8000 = (
    "RFC 9112 3: It is RECOMMENDED that all HTTP senders and recipients support, at a minimum, request-line "
    "lengths of 8000 octets."
)
INVALID_LINE = (
    "RFC 9112 3.2: Recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request) error or "
    "a 301 (Moved Permanently) redirect."
)
ONE_HOST = (
    "RFC 9112 3.2: A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message "
    "that lacks a Host header field and to any request message that contains more than one Host header field line"
    " or a Host header field with an invalid field value."
)
ORIGIN_FORM = 'RFC 9112 3.2.1: origin-form = absolute-path [ "?" query ]'
ABSOLUTE_FORM = (
    "RFC 9112 3.2.2: A server MUST accept the absolute-form in requests even though most HTTP/1.1 clients will "
    "only send the absolute-form to a proxy."
)
ABSOLUTE_AND_HOST = (
    "RFC 9112 3.2.2 with RFC 9110 7.2: a client MUST send a Host field value that is identical to the target's "
    "authority component. Chosen: two different hosts in one request are refused, neither is believed."
)
AUTHORITY_FORM = "RFC 9112 3.2.3: The authority-form of request-target is only used for CONNECT requests."
ASTERISK_FORM = "RFC 9112 3.2.4: The asterisk-form of request-target is only used for a server-wide OPTIONS request."
NO_AUTHORITY = (
    "RFC 9112 3.3: If the request-target is not in absolute-form and there is no Host, the authority is empty or "
    "the server's default. Chosen: there is no default."
)

# RFC 9112: fields
FIELD_LINE = 'RFC 9112 5: field-line = field-name ":" OWS field-value OWS'
BLANK_BEFORE_COLON = (
    "RFC 9112 5.1: A server MUST reject, with a response status code of 400 (Bad Request), any received request "
    "message that contains whitespace between a header field name and colon."
)
FOLD = (
    "RFC 9112 5.2: A server that receives an obs-fold in a request message MUST either reject the message by "
    "sending a 400 (Bad Request) or replace each received obs-fold with one or more SP octets. Chosen: rejected."
)

# RFC 9112: bodies
CODING_NOT_UNDERSTOOD = (
    "RFC 9112 6.1: A server that receives a request message with a transfer coding it does not understand SHOULD "
    "respond with 501 (Not Implemented)."
)
CHUNKED_ONCE = "RFC 9112 6.1: A sender MUST NOT apply the chunked transfer coding more than once to a message body."
CODING_CASE = "RFC 9112 7: All transfer-coding names are case-insensitive."
CODING_AND_LENGTH = (
    "RFC 9112 6.1: A server MAY reject a request that contains both Content-Length and Transfer-Encoding. "
    "Regardless, the server MUST close the connection after responding to such a request. Chosen: rejected."
)
CODING_IN_1_0 = (
    "RFC 9112 6.1: A server that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST "
    "treat the message as if the framing is faulty, even if a Content-Length is present, and close the "
    "connection."
)
NO_CODING_TO_1_0 = (
    "RFC 9112 6.1: A server MUST NOT send a response containing Transfer-Encoding unless the corresponding "
    "request indicates HTTP/1.1 (or later minor revisions)."
)
NOT_FINAL = (
    "RFC 9112 6.3: If a Transfer-Encoding header field is present in a request and the chunked transfer coding is"
    " not the final encoding, the message body length cannot be determined reliably; the server MUST respond with"
    " the 400 (Bad Request) status code and then close the connection."
)
INVALID_LENGTH = (
    "RFC 9112 6.3: If a message is received without Transfer-Encoding and with an invalid Content-Length header "
    "field, then the message framing is invalid. If the unrecoverable error is in a request message, the server "
    "MUST respond with a 400 (Bad Request) status code and then close the connection."
)
LIST_OF_LENGTHS = (
    "RFC 9112 6.3: unless the field value can be successfully parsed as a comma-separated list, and all values "
    "are the same. RFC 9110 8.6: a recipient MUST either reject the message or replace the duplicated field "
    "values. Chosen: rejected."
)
LENGTH_FRAMES = (
    "RFC 9112 6.3: If a valid Content-Length header field is present without Transfer-Encoding, its decimal value"
    " defines the expected message body length in octets."
)
CUT_SHORT = (
    "RFC 9112 6.3: If the sender closes the connection or the recipient times out before the indicated number of "
    "octets are received, the recipient MUST consider the message to be incomplete and close the connection."
)
NO_BODY = (
    "RFC 9112 6.3: If this is a request message and none of the above are true, then the message body length is "
    "zero (no message body is present)."
)
CHUNK = "RFC 9112 7.1: chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF; chunk-size = 1*HEXDIG"
LARGE_CHUNK = (
    "RFC 9112 7.1: recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors "
    "due to integer conversion overflows."
)
CODING_PARAMETERS = (
    "RFC 9112 7.1: The chunked coding does not define any parameters. Their presence SHOULD be treated as an error."
)
EXTENSION = (
    'RFC 9112 7.1.1: chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ). A recipient MUST '
    "ignore unrecognized chunk extensions."
)
EXTENSION_LENGTH = (
    "RFC 9112 7.1.1: A server ought to limit the total length of chunk extensions received in a request to an "
    "amount reasonable for the services provided, and generate an appropriate 4xx (Client Error) response if that"
    " amount is exceeded."
)
TRAILERS = (
    "RFC 9112 7.1.2: A recipient that removes the chunked coding from a message MAY selectively retain or discard"
    " the received trailer fields."
)
TRAILERS_APART = (
    "RFC 9112 7.1.2: A recipient MUST NOT merge a received trailer field into the header section unless its "
    "corresponding header field definition explicitly permits it."
)
TRAILER_GRAMMAR = "RFC 9112 7.1.2: trailer-section = *( field-line CRLF )"
INCOMPLETE = (
    "RFC 9112 8: A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk that "
    "terminates the encoding has not been received."
)
INCOMPLETE_HEAD = (
    "RFC 9112 8: A server that receives an incomplete request message, usually due to a canceled request or a "
    "triggered timeout exception, MAY send an error response prior to closing the connection."
)

# RFC 9112: connections
PERSISTENT = (
    "RFC 9112 9.3: If the received protocol is HTTP/1.1 (or later), the connection will persist after the current"
    " response."
)
PERSISTENT_1_0 = (
    'RFC 9112 9.3: If the received protocol is HTTP/1.0, the connection persists only with the "keep-alive" '
    "connection option, and only if the recipient wishes to honor it."
)
PIPELINE = "RFC 9112 9.3.2: it MUST send the corresponding responses in the same order that the requests were received."
READ_OR_CLOSE = (
    "RFC 9112 9.3: A server MUST read the entire request message body or close the connection after sending its "
    "response."
)
CLOSE = (
    'RFC 9112 9.6: A server that receives a "close" connection option MUST initiate closure of the connection '
    "after it sends the final response to the request. The server MUST NOT process any further requests received "
    "on that connection."
)
