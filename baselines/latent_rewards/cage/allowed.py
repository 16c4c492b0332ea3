"""The tables of what a program may name.

Read twice: by the allow-list, before anything runs, and by the worker, which offers the program nothing else. The
worker loads this file by its path, so it imports nothing.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ELEMENTWISE = """
abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt ceil clip copysign cos cosh deg2rad degrees
divide equal exp exp2 expm1 fabs float_power floor floor_divide fmax fmin fmod greater greater_equal heaviside hypot
isclose isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not
logical_or logical_xor maximum minimum mod multiply nan_to_num negative not_equal positive power rad2deg radians
reciprocal remainder rint round sign signbit sin sinc sinh sqrt square subtract tan tanh true_divide trunc unwrap
"""
_REDUCTIONS = """
all amax amin any argmax argmin average count_nonzero cumprod cumsum diff max mean median min nanmax nanmean nanmin
nanstd nansum nanvar percentile prod ptp quantile std sum var
"""
_SHAPES = """
append argsort arange array array_split asarray atleast_1d atleast_2d atleast_3d broadcast_to column_stack concatenate
diag diagonal digitize expand_dims eye flip full full_like hsplit hstack identity interp isin linspace meshgrid
moveaxis ones ones_like partition ravel repeat reshape roll searchsorted select sort split squeeze stack swapaxes take
take_along_axis tile trace transpose tril triu vstack where zeros zeros_like
"""
_ALGEBRA = "cross dot einsum inner kron matmul outer tensordot vdot"

NUMPY_FUNCTIONS = _words(_ELEMENTWISE + _REDUCTIONS + _SHAPES + _ALGEBRA)
NUMPY_TYPES = _words("bool_ float16 float32 float64 int8 int16 int32 int64 intp uint8")
NUMPY_CONSTANTS = _words("e euler_gamma inf nan newaxis pi")
LINALG = frozenset({"norm"})

# What follows a dot after a value: called, or read.
METHODS = _words(
    """
    all any append argmax argmin argsort astype clip copy count cumprod cumsum diagonal dot extend flatten get index
    insert item items keys max mean min pop prod ravel repeat reshape reverse round sort squeeze std sum swapaxes take
    tolist trace transpose values var
    """
)
ATTRIBUTES = _words("T dtype ndim shape size")

BUILTIN_TYPES = _words("bool float int")
BUILTINS = BUILTIN_TYPES | _words(
    "abs all any enumerate len list max min pow range reversed round sorted sum tuple zip"
)

KEYWORDS = _words(
    """
    M N a_max a_min axes axis axis1 axis2 axisa axisb axisc base bins copy ddof decimals default dtype endpoint
    equal_nan fill_value indexing indices_or_sections initial k keepdims kth left max min mode n nan ndmin neginf num
    offset ord period posinf prepend q repeats reps return_index reverse right rtol atol shape shift side start step
    stop strict weights
    """
)
# Keywords whose value may be a word.
WORDS = _words("indexing mode ord side")
DTYPE_WORDS = _words("bool float float32 float64 int int32 int64")

# Which positional argument is a dtype, of those that take one; others of NumPy's functions take it by its name alone.
FUNCTION_DTYPES = {
    "arange": 3,
    "array": 1,
    "asarray": 1,
    "cumprod": 2,
    "cumsum": 2,
    "eye": 3,
    "full": 2,
    "full_like": 2,
    "identity": 1,
    "linspace": 5,
    "mean": 2,
    "nanmean": 2,
    "nanstd": 2,
    "nansum": 2,
    "nanvar": 2,
    "ones": 1,
    "ones_like": 1,
    "prod": 2,
    "std": 2,
    "sum": 2,
    "trace": 4,
    "var": 2,
    "zeros": 1,
    "zeros_like": 1,
}
METHOD_DTYPES = {
    "astype": 0,
    "cumprod": 1,
    "cumsum": 1,
    "mean": 1,
    "prod": 1,
    "std": 1,
    "sum": 1,
    "trace": 3,
    "var": 1,
}
