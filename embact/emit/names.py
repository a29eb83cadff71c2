"""What a function may be called: no name that C, its library, POSIX or CMSIS already has.

A header is called as its function is, so that the names of standard headers are no names either:
``stdint.h`` in a folder of the include path would be read in place of the real one. This module
must not know kernels.
"""

from __future__ import annotations

import re

from embact.emit.portable import KEYWORDS
from embact.errors import EmbactError
from embact.ir import check_identifier


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RESERVED = re.compile(r"arm_.*|main")

HEADERS = _words(
    """
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg
    stdbool stddef stdint stdio stdlib string tgmath time wchar wctype
    stdalign stdatomic stdnoreturn threads uchar stdbit stdckdint
    alloca endian fcntl features malloc memory newlib sched strings unistd
    """
)
"""The headers of C99, C11 and C23 without ``.h``, and those that C libraries include in them."""

OWN_HEADERS = re.compile(
    r"embact(_kernels|_nn|_nn_\w+|_softmax_arithmetic|_tiers|_loop_\w+|_bare\w*)?"
)
"""The headers of embact without ``.h``, and the functions and types that its loops define."""

MATH = _words(
    """
    acos acosh asin asinh atan atan2 atanh cabs cacos cacosh carg casin casinh catan catanh
    cbrt ccos ccosh ceil cexp cimag clog clog10 conj copysign cos cosh cpow cproj creal csin
    csinh csqrt ctan ctanh drem erf erfc exp exp10 exp2 expm1 fabs fdim finite floor fma fmax
    fmin fmod frexp gamma hypot ilogb isinf isnan j0 j1 jn ldexp lgamma llrint llround log
    log10 log1p log2 logb lrint lround modf nan nearbyint nextafter nexttoward pow pow10
    remainder remquo rint round roundeven scalb scalbln scalbn signbit significand sin sincos
    sinh sqrt tan tanh tgamma trunc y0 y1 yn
    """
)
"""The functions of numbers; each has others for other types, such as ``sinf`` and ``sinl``."""

MATH_SUFFIXES = tuple(sorted(_words("f l _r f16 f32 f32x f64 f64x f128 d32 d64 d128")))

FUNCTIONS = _words(
    """
    abort abs access aligned_alloc alloca asctime assert atexit atof atoi atol atoll bcmp
    bcopy bsearch btowc bzero calloc clearerr clock close complex ctime dcgettext dgettext
    difftime div dup environ errno execl execle execlp execv execve execvp exit fclose
    feclearexcept fegetenv fegetexceptflag fegetround feholdexcept feof feraiseexcept ferror
    fesetenv fesetexceptflag fesetround fetestexcept feupdateenv fflush ffs ffsimax ffsl ffsll
    fgetc fgetpos fgets fgetwc fgetws fopen fork fpclassify fprintf fputc fputs fputwc fputws
    fread free freopen fscanf fseek fsetpos ftell fwide fwprintf fwrite fwscanf getc getchar
    getenv getpid gets gettext getwc getwchar gmtime i386 imaxabs imaxdiv index isalnum
    isalpha isascii isblank iscntrl isdigit isfinite isgraph isgreater isgreaterequal isless
    islessequal islessgreater islower isnormal isprint ispunct isspace isunordered isupper
    iswalnum iswalpha iswblank iswcntrl iswctype iswdigit iswgraph iswlower iswprint iswpunct
    iswspace iswupper iswxdigit isxdigit jmp_buf kill labs ldiv link linux llabs lldiv
    localeconv localtime longjmp malloc mblen mbrlen mbrtowc mbsinit mbsrtowcs mbstowcs mbtowc
    memchr memcmp memcpy memmove mempcpy memset mktime offsetof open perror pipe
    posix_memalign printf putc putchar puts putwc putwchar qsort raise rand random read
    realloc remove rename rewind rindex scanf select setbuf setjmp setlocale setvbuf signal
    sleep snprintf sprintf srand srandom sscanf stderr stdin stdout stpcpy stpncpy strcasecmp
    strcat strchr strcmp strcoll strcpy strcspn strdup strerror strfmon strftime strlen
    strncasecmp strncat strncmp strncpy strndup strnlen strpbrk strrchr strspn strstr strtod
    strtof strtoimax strtok strtol strtold strtoll strtoul strtoull strtoumax strxfrm swprintf
    swscanf system tgmath time tmpfile tmpnam toascii tolower toupper towctrans towlower
    towupper ungetc ungetwc unix unlink va_arg va_copy va_end va_list va_start vfprintf
    vfscanf vfwprintf vfwscanf vprintf vscanf vsnprintf vsprintf vsscanf vswprintf vswscanf
    vwprintf vwscanf wcrtomb wcscat wcschr wcscmp wcscoll wcscpy wcscspn wcsftime wcslen
    wcsncat wcsncmp wcsncpy wcspbrk wcsrchr wcsrtombs wcsspn wcsstr wcstod wcstof wcstoimax
    wcstok wcstol wcstold wcstoll wcstombs wcstoul wcstoull wcstoumax wcsxfrm wctob wctomb
    wctrans wctype wmemchr wmemcmp wmemcpy wmemmove wmemset wprintf write wscanf
    """
)
"""The functions and macros of C99, and those of POSIX that compilers know, in lower case."""


def check_function_name(name: str) -> None:
    """Raise EmbactError unless a C function and its header may have that name (lower case)."""
    check_identifier(name, "function")
    if name in KEYWORDS or RESERVED.fullmatch(name):
        raise EmbactError(
            "name of a function", got=repr(name), allowed="no C keyword and no arm_* symbol"
        )
    if name.endswith("_t"):
        raise EmbactError(
            "name of a function", got=repr(name), allowed="no end _t, which is kept for types"
        )
    if is_library_name(name):
        raise EmbactError(
            "name of a function", got=f"{name!r}, a name of C's standard library or of compilers"
        )
    if OWN_HEADERS.fullmatch(name):
        raise EmbactError("name of a function", got=f"{name!r}, a header of embact")


def is_library_name(name: str) -> bool:
    """Return whether a name is a function, a macro or a header that C's library brings."""
    plain = name.removesuffix("_unlocked")
    if plain in FUNCTIONS or plain in MATH or name in HEADERS:
        return True
    return any(name.removesuffix(suffix) in MATH for suffix in MATH_SUFFIXES)
