"""Bodies in chunks."""

from tests.doors import rfc
from tests.doors.case import BAD, WAITED_FOR, Case, answered, chunked, get, refused, seen

TAKEN = seen(b"POST", body=b"hello")
LAST = b"0\r\n\r\n"
WRONG_SIZES = (
    b"-5", b"+5", b"0x5", b"5h", b"h", b"g5", b"5 5", b"5,5", b"5.0", b"5_", b'"5"', b"\xb5", "\u0665".encode(), b"5\0",
    b"\x005", b"5\x0b", b"\x0c5", b"5\x7f", b"x", b"-0", b"five",
)  # fmt: skip
EXTENSIONS = (
    b";a", b";a=b", b';a="b"', b';a="b;c"', b';a="b\\"c"', b";a=b;c=d", b"; a", b" ;a", b" ; a = b", b"\t;a", b";a;b;c",
    b";a=" + b"b" * 150, b';a=""', b";a.b-c=1",
)  # fmt: skip
WRONG_EXTENSIONS = {
    b";a\rb": rfc.BARE_CR,
    b";a\nb": rfc.BARE_LF,
    b";a\r": rfc.BARE_CR,
    b';a="b\rc"': rfc.BARE_CR,
    b';a="b\nc"': rfc.BARE_LF,
    b";\n5": rfc.BARE_LF,
    b"\r;a": rfc.BARE_CR,
    b";a\0b": rfc.EXTENSION,
    b";\x01": rfc.EXTENSION,
    b";a\x7f": rfc.EXTENSION,
    b";": rfc.EXTENSION,
    b";;": rfc.EXTENSION,
    b";=b": rfc.EXTENSION,
    b";a=": rfc.EXTENSION,
    b';a="b': rfc.EXTENSION,
    b";a b": rfc.EXTENSION,
    b",a": rfc.EXTENSION,
    b" a": rfc.EXTENSION,
}
BLANKS = (b"5 ", b"5\t", b" 5", b"\t5", b"5  ")


def _text(data: bytes) -> str:
    return repr(data[:24])[2:-1]


CASES = [
    Case("one", chunked(b"5\r\nhello\r\n" + LAST), TAKEN, rfc.CHUNK),
    Case("two", chunked(b"2\r\nhe\r\n3\r\nllo\r\n" + LAST), TAKEN, rfc.CHUNK),
    Case("one for each byte", chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + LAST), TAKEN, rfc.CHUNK),
    Case("none", chunked(LAST), seen(b"POST"), rfc.CHUNK),
    Case("a size in lower case", chunked(b"a\r\n0123456789\r\n" + LAST), seen(b"POST", body=b"0123456789"), rfc.CHUNK),
    Case("a size in upper case", chunked(b"A\r\n0123456789\r\n" + LAST), seen(b"POST", body=b"0123456789"), rfc.CHUNK),
    Case("a size in mixed case", chunked(b"aB\r\n" + b"x" * 171 + b"\r\n" + LAST), seen(b"POST", body=b"x" * 171),
         rfc.CHUNK),
    Case("a size with leading zeros", chunked(b"0005\r\nhello\r\n" + LAST), TAKEN, rfc.CHUNK),
    Case("a last chunk of several zeros", chunked(b"5\r\nhello\r\n000\r\n\r\n"), TAKEN, rfc.CHUNK),
    Case("data of line ends", chunked(b"6\r\n\r\n0\r\n\r\r\n" + LAST), seen(b"POST", body=b"\r\n0\r\n\r"), rfc.CHUNK),
    Case("data that looks like the end", chunked(b"5\r\n0\r\n\r\n\r\n" + LAST), seen(b"POST", body=LAST), rfc.CHUNK),
    Case("data of every byte", chunked(b"100\r\n" + bytes(range(256)) + b"\r\n" + LAST),
         seen(b"POST", body=bytes(range(256))), rfc.CHUNK),
    Case("2,000 chunks", chunked(b"1\r\nx\r\n" * 2_000 + LAST), seen(b"POST", body=b"x" * 2_000), rfc.CHUNK),
    Case("one of 200,000 bytes", chunked(b"30d40\r\n" + b"x" * 200_000 + b"\r\n" + LAST),
         seen(b"POST", body=b"x" * 200_000), rfc.CHUNK),
    Case("a request behind the last", chunked(b"5\r\nhello\r\n" + LAST) + get(target=b"/b"),
         TAKEN + seen(target=b"/b"), rfc.CHUNK),
    Case("noise behind the last", chunked(LAST) + b"hello\r\n\r\n", seen(b"POST") + BAD, rfc.CHUNK),
    Case("a length behind the last", chunked(LAST) + b"5\r\nhello\r\n" + LAST, seen(b"POST") + BAD, rfc.CHUNK),
    # Sizes
    *(Case(f"the size {_text(size)}", chunked(size + b"\r\nhello\r\n" + LAST), BAD, rfc.CHUNK) for size in WRONG_SIZES),
    *(Case(f"the size '{_text(size)}' with blanks", chunked(size + b"\r\nhello\r\n" + LAST), BAD, rfc.CHUNK)
      for size in BLANKS),
    Case("an empty size", chunked(b"\r\nhello\r\n" + LAST), BAD, rfc.CHUNK),
    Case("a size of 2**64 and 5", chunked(b"10000000000000005\r\nhello\r\n" + LAST), BAD, rfc.LARGE_CHUNK),
    Case("a size of 2**32 and 5 is not 5", chunked(b"100000005\r\nhello\r\n" + LAST), WAITED_FOR, rfc.LARGE_CHUNK),
    Case("a size of 100 digits", chunked(b"f" * 100 + b"\r\nhello\r\n" + LAST), BAD, rfc.LARGE_CHUNK),
    Case("a size of 5,000 zeros", chunked(b"0" * 5_000 + b"\r\n\r\n"), answered(200, 400, 413, 431), rfc.LARGE_CHUNK),
    # Ends of lines
    Case("LF alone behind the size", chunked(b"5\nhello\r\n" + LAST), BAD, rfc.BARE_LF),
    Case("CR alone behind the size", chunked(b"5\rhello\r\n" + LAST), BAD, rfc.BARE_CR),
    Case("CR CR LF behind the size", chunked(b"5\r\r\nhello\r\n" + LAST), BAD, rfc.BARE_CR),
    Case("LF alone behind the data", chunked(b"5\r\nhello\n" + LAST), BAD, rfc.BARE_LF),
    Case("CR alone behind the data", chunked(b"5\r\nhello\r" + LAST), BAD, rfc.BARE_CR),
    Case("nothing behind the data", chunked(b"5\r\nhello" + LAST), BAD, rfc.CHUNK),
    Case("two line ends behind the data", chunked(b"5\r\nhello\r\n\r\n" + LAST), BAD, rfc.CHUNK),
    Case("data longer than the size", chunked(b"3\r\nhello\r\n" + LAST), BAD, rfc.CHUNK),
    Case("data shorter than the size", chunked(b"7\r\nhello\r\n" + LAST), BAD, rfc.CHUNK),
    Case("LF alone behind the last size", chunked(b"5\r\nhello\r\n0\n\r\n"), BAD, rfc.BARE_LF),
    Case("LF alone at the end", chunked(b"5\r\nhello\r\n0\r\n\n"), BAD, rfc.BARE_LF),
    Case("CR CR LF at the end", chunked(b"5\r\nhello\r\n0\r\n\r\r\n"), BAD, rfc.BARE_CR),
    Case("LF for every line end", chunked(b"5\nhello\n0\n\n"), BAD, rfc.BARE_LF),
    # Extensions
    *(Case(f"the extension '{_text(ext)}'", chunked(b"5" + ext + b"\r\nhello\r\n" + LAST), TAKEN, rfc.EXTENSION)
      for ext in EXTENSIONS),
    *(
        Case(f"the extension '{_text(ext)}' is none", chunked(b"5" + ext + b"\r\nhello\r\n" + LAST), BAD, rule)
        for ext, rule in WRONG_EXTENSIONS.items()
    ),
    Case("an extension of the last chunk", chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n"), TAKEN, rfc.EXTENSION),
    Case("a bare LF in an extension of the last chunk", chunked(b"5\r\nhello\r\n0;a\nb\r\n\r\n"), BAD, rfc.BARE_LF),
    Case("an extension of 20,000 bytes", chunked(b"5;a=" + b"b" * 20_000 + b"\r\nhello\r\n" + LAST),
         refused(400, 413, 431), rfc.EXTENSION_LENGTH),
    Case("extensions of 200,000 bytes in all",
         chunked(b"".join(b"1;a=%b\r\nx\r\n" % (b"b" * 100) for _ in range(2_000)) + LAST),
         refused(400, 413, 431), rfc.EXTENSION_LENGTH),
    # Not there yet
    Case("no last chunk", chunked(b"5\r\nhello\r\n"), WAITED_FOR, rfc.INCOMPLETE),
    Case("half a chunk", chunked(b"5\r\nhe"), WAITED_FOR, rfc.INCOMPLETE),
    Case("a digit more than meant", chunked(b"5a;b\r\nhello\r\n" + LAST), WAITED_FOR, rfc.CHUNK),
    Case("half a size", chunked(b"5"), WAITED_FOR, rfc.INCOMPLETE),
    Case("the last chunk without its empty line", chunked(b"5\r\nhello\r\n0\r\n"), WAITED_FOR, rfc.INCOMPLETE),
    Case("the last chunk without its LF", chunked(b"5\r\nhello\r\n0\r\n\r"), WAITED_FOR, rfc.INCOMPLETE),
]  # fmt: skip
