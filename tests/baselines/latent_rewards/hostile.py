"""Programs that mean harm, or do it: class, name, text.

CANARY stands for a folder that must stay as it is, PORT for a port that must not be called, PLANTED for a file with a
pickle that writes into the folder. `inside` puts lines into the function that is called.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple


class Hostile(NamedTuple):
    kind: str
    name: str
    text: str


def inside(lines: str, returned: str = "[observation[:, :1]]", before: str = "") -> str:
    body = textwrap.indent(textwrap.dedent(lines).strip("\n") or "pass", "    ")
    return f"{before}def evaluation_func(observation, action):\n{body}\n    return {returned}\n"


def above(lines: str, returned: str = "[observation[:, :1]]") -> str:
    return inside("pass", returned, textwrap.dedent(lines).strip("\n") + "\n")


WRITE = "open('CANARY/written', 'w').write('x')"
OS = "__import__('os').system('touch CANARY/written')"
SUBCLASSES = "().__class__.__base__.__subclasses__()"
FIND_OS = "next(c for c in {} if c.__name__ == '_wrap_close').__init__.__globals__['system']('touch CANARY/written')"
SOCKET = "s = socket.create_connection(('127.0.0.1', PORT), 1); s.close()"

_KINDS: dict[str, dict[str, str]] = {
    "dunder chain": {
        "subclasses": inside(FIND_OS.format(SUBCLASSES)),
        "by a list": inside(FIND_OS.format("[].__class__.__mro__[1].__subclasses__()")),
        "by a number": inside(FIND_OS.format("(1).__class__.__mro__[-1].__subclasses__()")),
        "returned": inside("pass", "[" + SUBCLASSES + "]"),
    },
    "globals of a function": {
        "of numpy's": inside(
            "np.sum.__wrapped__.__globals__['__builtins__']['open']('CANARY/written', 'w').write('x')"
        ),
        "of its own": inside("evaluation_func.__globals__['__builtins__']['open']('CANARY/w', 'w').write('x')"),
        "of a helper": inside("h.__globals__['np'].save('CANARY/w', observation)", before="def h():\n    return 1\n"),
        "code": inside("evaluation_func.__code__ = (lambda o, a: open('CANARY/w', 'w').write('x')).__code__"),
    },
    "getattr": {
        "split name": inside("getattr(np, 'sa' + 've')('CANARY/written', observation)"),
        "vars": inside("vars(np)['save']('CANARY/written', observation)"),
        "dir": inside("[getattr(np, n) for n in dir(np) if n == 'save'][0]('CANARY/written', observation)"),
        "setattr": inside("setattr(np, 'sum', 1)"),
    },
    "dunders of the module": {
        "builtins": inside("np.__builtins__['open']('CANARY/written', 'w').write('x')"),
        "dict": inside("np.__dict__['save']('CANARY/written', observation)"),
        "loader": inside("np.__loader__.set_data('CANARY/written', b'x')"),
    },
    "import os": {
        "above": above("import os\nos.system('touch CANARY/written')"),
        "inside": inside("import os\nos.system('touch CANARY/written')"),
        "beside numpy": above("import numpy as np, os\nos.system('touch CANARY/written')"),
        "as np": above("import os as np\nnp.system('touch CANARY/written')"),
        "posix": inside("import posix\nposix.system('touch CANARY/written')"),
    },
    "import all": {
        "of numpy": above("from numpy import *\nsave('CANARY/written', array([1.0]))"),
        "of os": above("from os import *\nsystem('touch CANARY/written')"),
        "a part": above("from numpy import save\nsave('CANARY/written', 1)"),
    },
    "__import__": {
        "os": inside(OS),
        "from builtins": inside("__builtins__['__import__']('os').system('touch CANARY/written')"),
        "importlib": inside("import importlib\nimportlib.import_module('os').system('touch CANARY/written')"),
        "numpy's submodule": inside("__import__('numpy').lib.format.open_memmap('CANARY/w', 'w+', float, shape=(1,))"),
    },
    "eval": {
        "eval": inside(f'eval("{OS}")'),
        "exec": inside(f'exec("{OS}")'),
        "compile": inside(f'exec(compile("{OS}", "x", "exec"))'),
        "input": inside("input()"),
    },
    "open": {
        "write": inside(WRITE),
        "append": inside("with open('CANARY/written', 'a') as f:\n    f.write('x')"),
        "read": inside("x = open('/etc/passwd').read()", "[observation[:, :1] + len(x)]"),
        "io": inside("import io\nio.FileIO('CANARY/written', 'w').write(b'x')"),
        "remove": inside("import os\nos.remove('PLANTED')"),
        "rename": inside("import os\nos.rename('PLANTED', 'CANARY/gone')"),
        "link": inside("import os\nos.symlink('/etc', 'CANARY/etc')"),
        "folder": inside("import os\nos.mkdir('CANARY/folder')"),
        "mode": inside("import os\nos.chmod('PLANTED', 0)"),
        "truncate": inside("import os\nos.truncate('PLANTED', 0)"),
    },
    "np.load": {
        "pickle": inside("np.load('PLANTED', allow_pickle=True)"),
        "plain": inside("np.load('PLANTED')"),
    },
    "np.fromfile": {"passwd": inside("np.fromfile('/etc/passwd', np.uint8)")},
    "np.memmap": {"write": inside("np.memmap('CANARY/written', dtype=np.float64, mode='w+', shape=(4,))[:] = 1")},
    "np.genfromtxt": {
        "path": inside("np.genfromtxt('/etc/passwd')"),
        "address": inside("np.genfromtxt('http://127.0.0.1:PORT/x')"),
        "loadtxt": inside("np.loadtxt('/etc/hostname', dtype=str)"),
    },
    "np.fromregex": {"passwd": inside("np.fromregex('/etc/passwd', '(.)', [('a', 'S1')])")},
    "np.save": {
        "save": inside("np.save('CANARY/written', observation)"),
        "savez": inside("np.savez('CANARY/written', observation)"),
        "savetxt": inside("np.savetxt('CANARY/written', observation)"),
        "above": above("import numpy as np\nnp.save('CANARY/written', np.ones(3))"),
    },
    "tofile": {"array": inside("observation.tofile('CANARY/written')")},
    "dump": {
        "dump": inside("observation.dump('CANARY/written')"),
        "dumps": inside("x = observation.dumps()"),
    },
    "ctypeslib": {
        "load_library": inside("np.ctypeslib.load_library('libc.so.6', '/lib').system(b'touch CANARY/written')"),
        "ctypes": inside("import ctypes\nctypes.CDLL(None).system(b'touch CANARY/written')"),
        "raw call": inside(
            "import ctypes\nlibc = ctypes.CDLL(None)\nfd = libc.syscall(2, b'CANARY/written', 0o101, 0o600)\n"
            "libc.syscall(1, fd, b'x', 1)"
        ),
    },
    "memory of an array": {
        "memset": inside("import ctypes\nctypes.memset(observation.ctypes.data, 1, observation.nbytes)"),
        "data": inside("observation.data[0] = 1"),
        "interface": inside("x = observation.__array_interface__['data']"),
    },
    "crash": {
        "string_at": inside("import ctypes\nctypes.string_at(0)"),
        "abort": inside("import os\nos.abort()"),
        "raise a signal": inside("import signal\nsignal.raise_signal(11)"),
    },
    "f2py": {"compile": inside("import numpy.f2py\nnumpy.f2py.compile('x', 'CANARY/written')")},
    "np.testing": {
        "runstring": inside(f'np.testing.runstring("{WRITE}", {{}})'),
        "rundocs": inside("np.testing.rundocs('PLANTED')"),
    },
    "as_strided": {
        "read": inside("x = np.lib.stride_tricks.as_strided(observation, (10**9,), (8,))", "[x[-4:].reshape(-1, 1)]"),
        "write": inside("x = np.lib.stride_tricks.as_strided(observation.copy(), (10**9,), (8,))\nx[:] = 0"),
    },
    "np.ndarray": {"buffer": inside("x = np.ndarray((10**8,), buffer=observation, strides=(0,))")},
    "DataSource": {
        "download": inside("np.lib.npyio.DataSource('CANARY').open('http://127.0.0.1:PORT/x')"),
        "urllib": inside("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:PORT/x', timeout=1)"),
    },
    "np.core": {
        "old": inside("np.core.multiarray.fromfile('/etc/passwd')"),
        "new": inside("np._core.multiarray.fromfile('/etc/passwd')"),
        "os of a submodule": inside("np._core._internal.ctypes._os.system('touch CANARY/written')"),
    },
    "aliases": {
        "rec": inside("np.rec.fromfile('/etc/passwd', formats='u1')"),
        "ma": inside("np.ma.core.np.save('CANARY/written', observation)"),
        "char": inside("np.char.multiply('x', 10**10)"),
        "strings": inside("np.strings.multiply('x', 10**10)"),
    },
    "module hop": {
        "polynomial": inside("np.polynomial.polynomial.np.save('CANARY/written', observation)"),
        "lib": inside("np.lib.scimath.nx.save('CANARY/written', observation)"),
    },
    "np.random": {
        "rand": inside("pass", "[np.random.rand(len(observation), 1)]"),
        "generator": inside("pass", "[observation[:, :1] + np.random.default_rng().normal()]"),
    },
    "nondeterminism": {
        "time": inside("import time", "[observation[:, :1] + time.time()]"),
        "id": inside("pass", "[observation[:, :1] + id(observation) % 1000003]"),
        "hash": inside("pass", "[observation[:, :1] + hash('a') % 1000003]"),
        "order of a set": inside("pass", "[observation[:, :1] * list({'a': 1, 'b': 2}.keys() | {'c'}).index('c')]"),
    },
    "clock by datetime64": {
        "loops": inside(
            "for now in {'now': 1}:\n    for kind in {'M8[us]': 1}:\n        t = np.array(now, kind).astype(float)",
            "[np.where(t > 2e15, observation[:, 1:2], observation[:, :1])]",
        ),
        "alias": inside("a = {}\nb = a\na['now'] = 1\nx = np.array([t for t in b], b)"),
        "items": inside("for a, b in {'M8[us]': 1}.items():\n    x = observation.astype(a)"),
        "list": inside("d = {'now': 1, 'M8[us]': 2}\nx = list(d)\ny = np.array(x[0], x[1])"),
        "unpacked": inside("a, b = {'now': 1, 'M8[us]': 2}\nx = np.array(a, b)"),
        "smallest": inside("x = np.array(min({'now': 1}), min({'M8[us]': 1}))"),
        "argument": inside("for d in {'now': 1}:\n    f(d)", before="def f(x):\n    return np.array(x)\n"),
        "a word": inside("x = np.zeros(3, 'M8[us]')\nx[0] = 'now'", "[observation[:, :1] + x.astype(np.float64)[0]]"),
        "a method": inside("x = observation.copy().astype('M8[us]')\nx[0, 0] = 'now'", "[x[:, :1].astype(np.float64)]"),
        "np.datetime64": inside("x = np.datetime64('now')"),
    },
    "other dtypes": {
        "objects": inside("for k in {'O': 1}:\n    x = np.array([[1], [2, 3]], k).sum()"),
        "raw memory": inside("for k in {'V8': 1}:\n    x = np.full(4, 1.5, k)"),
        "giant": inside("for k in {'V2147483647': 1}:\n    x = np.zeros(1, k)"),
        "fields": inside("for k in {'i4,f8': 1}:\n    x = np.zeros(3, k)"),
        "by position": inside("x = np.zeros(3, 'O')"),
        "of a sum": inside("x = observation.sum(0, 'O')"),
        "signature": inside("x = np.add(observation, observation, signature='OO->O')"),
    },
    "format by a key": {
        "percent": inside("for k in {'%0999999999d': 1}:\n    x = k % 1"),
        "text of an array": inside("for k in {'%s': 1}:\n    x = len(k % observation)"),
    },
    "uninitialized memory": {
        "empty": inside("pass", "[np.empty((len(observation), 1))]"),
        "empty_like": inside("pass", "[np.empty_like(observation)[:, :1]]"),
    },
    "module state": {
        "a list": inside("SEEN.append(1)", "[observation[:, :1] * len(SEEN)]", "SEEN = []\n"),
        "an array": inside("COUNT[0] += 1", "[observation[:, :1] * COUNT[0]]", "COUNT = [0]\n"),
    },
    "cycles": {
        "a dict": inside("x = {}\nx[0] = x\nx[1] = np.ones(10**7)"),
        "a list": inside("x = [np.ones(10**7)]\nx.append(x)"),
    },
    "default argument": {"list": inside("seen.append(1)").replace("action)", "action, seen=[])")},
    "function attribute": {"count": inside("evaluation_func.n = getattr(evaluation_func, 'n', 0) + 1")},
    "global": {
        "global": inside("global n\nn = n + 1", "[observation[:, :1] * n]", "n = 0\n"),
        "nonlocal": inside("n = 0\ndef f():\n    nonlocal n\n    n += 1\nf()"),
    },
    "object array": {
        "element": inside("x = np.array([[evaluation_func]] * len(observation))", "[x]"),
        "of a class": above("class E:\n    def __float__(self):\n        return 1.0\nx = E()", "[np.array([[x]])]"),
    },
    "object dtype": {
        "word": inside("pass", "[observation[:, :1].astype('O')]"),
        "object": inside("pass", "[observation[:, :1].astype(object)]"),
        "np.object_": inside("pass", "[np.array(observation[:, :1], dtype=np.object_)]"),
    },
    "pickle": {
        "loads": inside("import pickle\npickle.loads(b\"cos\\nsystem\\n(S'touch CANARY/written'\\ntR.\")"),
        "load": inside("import pickle\npickle.load(open('PLANTED', 'rb'))"),
    },
    "huge allocation": {
        "zeros": inside("x = np.zeros(10**9)", "[x[:4].reshape(-1, 1)]"),
        "full": inside("x = np.full((40000, 40000), 1.0)"),
        "list": inside("x = [0.0] * 10**9"),
        "range": inside("x = list(range(10**9))"),
    },
    "doubling": {
        "array": inside("x = observation\nfor i in range(60):\n    x = np.concatenate([x, x])"),
        "list": inside("x = [1]\nfor i in range(60):\n    x = x + x"),
        "extend": inside("x = [1]\nfor i in range(60):\n    x.extend(x)"),
        "text": inside("x = 'a'\nfor i in range(60):\n    x = x + x"),
        "kept arrays": inside("x = []\nfor i in range(10**6):\n    x.append(np.ones(10**5))"),
    },
    "blow-up": {
        "tile": inside("x = np.tile(observation, (10**6, 10**3))"),
        "repeat": inside("x = np.repeat(observation, 10**9)"),
        "outer": inside("x = np.outer(np.arange(10**6), np.arange(10**6))"),
        "kron": inside("x = np.kron(np.ones(10**6), np.ones(10**6))"),
        "einsum": inside("x = np.einsum('i,j,k->ijk', np.ones(4000), np.ones(4000), np.ones(4000))"),
        "meshgrid": inside("x = np.meshgrid(np.ones(30000), np.ones(30000))"),
    },
    "while True": {
        "pass": inside("while True:\n    pass"),
        "above": above("while True:\n    pass"),
        "continue": inside("while 1:\n    continue"),
    },
    "for without end": {
        "nested": inside("for i in range(10**9):\n    for j in range(10**9):\n        pass"),
        "sum": inside("x = sum(i for i in range(10**9) for j in range(10**9))"),
        "above": above("x = [i for i in range(10**9) if i < 0]"),
    },
    "grows while iterated": {
        "iter": inside("for i in iter(int, 1):\n    pass"),
        "list": inside("x = [1]\nfor i in x:\n    x.append(i)"),
    },
    "slow, but not too slow": {
        "loop": inside("for i in range(6 * 10**7):\n    pass"),
        "arrays": inside("for i in range(200):\n    x = np.sin(np.ones(10**6))"),
    },
    "errors that cannot be told": {
        "key": inside("x = 10\nfor i in range(13):\n    x = x * x\nx = {1: 2}[x]"),
        "text": above("class E(Exception):\n    def __str__(self):\n        1 / 0\ndef f():\n    raise E\nf()"),
        "length": above("class E(Exception):\n    def __str__(self):\n        return 'x' * 10**12\nraise E"),
    },
    "big numbers": {
        "power": inside("x = 9 ** 9 ** 9"),
        "pow": inside("x = pow(pow(9, 9), pow(9, 9))"),
        "product": inside("x = 3\nfor i in range(60):\n    x = x * x"),
        "power of a loop": inside("x = 2\nfor i in range(9):\n    x = x ** x"),
    },
    "long C call": {
        "sort": inside("for i in range(10**6):\n    x = np.sort(np.sin(np.arange(10**7)))"),
        "svd": inside("x = np.linalg.svd(np.ones((5000, 5000)))"),
        "norm": inside("x = np.linalg.norm(np.ones((4000, 4000)) + np.eye(4000), 2)"),
        "product": inside("x = np.ones((4000, 4000))\nfor i in range(1000):\n    x = x @ x"),
    },
    "recursion": {
        "self": inside("return evaluation_func(observation, action)"),
        "mutual": "def a(x):\n    return b(x)\ndef b(x):\n    return a(x)\n" + inside("a(1)"),
        "helper": "def f(n):\n    return f(n - 1) + f(n - 2)\n" + inside("f(9)"),
        "deep": inside("import sys\nsys.setrecursionlimit(10**9)\nevaluation_func(observation, action)"),
    },
    "parser bomb": {
        "brackets": inside("x = " + "(" * 2000 + "1" + ")" * 2000),
        "minus": inside("x = " + "-" * 15000 + "1"),
        "dots": inside("x = observation" + ".T" * 4000),
        "lines": inside("pass", before="\n" * 200_000),
        "not": inside("x = " + "not " * 3000 + "1"),
        "sum": inside("x = 1" + "+1" * 7000),
        "blocks": "def evaluation_func(observation, action):\n"
        + "".join(" " * i + "if 1:\n" for i in range(1, 150))
        + " " * 150
        + "pass\n",
        "conditions": inside("x = " + "1 if 1 else " * 1000 + "1"),
        "powers": inside("x = 1" + "**1" * 4000),
        "lambdas": inside("x = " + "lambda: " * 1500 + "1"),
    },
    "regular expression": {"backtracking": inside("import re\nre.match('(a+)+$', 'a' * 40 + 'b')")},
    "format": {
        "format": inside("x = '{0.__class__.__mro__}'.format(observation)"),
        "format_map": inside("x = '{a.__init__.__globals__}'.format_map({'a': np})"),
    },
    "f-string": {
        "attribute": inside("x = f'{observation.__class__.__mro__}'"),
        "width": inside("x = f'{1:999999999}'"),
    },
    "text blow-up": {
        "percent": inside("x = '%0999999999d' % 1"),
        "times": inside("x = 'a' * 10**12"),
        "bytes": inside("x = b'a' * 10**12"),
    },
    "generator frame": {
        "f_back": inside("g = (g.gi_frame.f_back.f_back for _ in [1])\nx = [f for f in g][0].f_builtins['open']"),
        "yield": inside("def f():\n    yield f.gi_frame\nx = list(f())"),
    },
    "traceback": {
        "frames": inside(
            "try:\n    1 / 0\nexcept Exception as e:\n"
            "    e.__traceback__.tb_frame.f_globals['__builtins__']['open']('CANARY/w', 'w').write('x')"
        ),
        "os of a frame": inside("import sys\nsys._getframe(1).f_globals['os'].system('touch CANARY/written')"),
    },
    "error leak": {
        "obj": inside(
            "try:\n    np.nothing\nexcept AttributeError as e:\n    e.obj.save('CANARY/written', observation)"
        ),
        "name": inside("try:\n    nothing\nexcept NameError as e:\n    x = e.name.__class__"),
    },
    "except*": {"group": inside("try:\n    1 / 0\nexcept* Exception as e:\n    x = e.exceptions[0].__traceback__")},
    "swallowed errors": {
        "loop": inside("while True:\n    try:\n        1 / 0\n    except BaseException:\n        pass"),
        "long": inside(
            "for i in range(10**9):\n    try:\n        np.zeros(10**12)\n    except BaseException:\n        pass"
        ),
    },
    "decorator": {
        "takes the function": inside("pass", before="def d(f):\n    f.__globals__['x'] = 1\n    return f\n@d\n"),
        "a class": inside("pass", before="@property\n"),
    },
    "class": {
        "getattr": above("class C:\n    def __getattr__(self, n):\n        return self\nx = C()", "[x]"),
        "metaclass": above(
            "class M(type):\n    def __call__(c, *a):\n        return 1\nclass C(metaclass=M):\n    pass"
        ),
        "array function": above(
            "class C:\n    shape = (4, 1)\n    def __array__(self, *a, **k):\n        return np.ones((4, 1))",
            "[C()]",
        ),
        "len that lies": above("class L(list):\n    def __len__(self):\n        return 1\nx = L()", "x"),
    },
    "subclass of arrays": {
        "matrix": inside("pass", "[np.matrix(observation)[:, :1]]"),
        "masked": inside("pass", "[np.ma.masked_array(observation[:, :1])]"),
        "own": above("class A(np.ndarray):\n    pass", "[observation[:, :1].view(A)]"),
    },
    "lambda": {
        "plain": inside("x = (lambda: observation)()"),
        "capture": inside("x = (lambda n=np: n.save('CANARY/written', observation))()"),
    },
    "walrus": {"leak": inside("x = [y := n for n in [np]]\ny.save('CANARY/written', observation)")},
    "match": {
        "class pattern": inside("match observation:\n    case object(__class__=c):\n        x = c.__mro__"),
        "mapping": inside("match {'a': np}:\n    case {'a': n}:\n        n.save('CANARY/written', observation)"),
    },
    "hidden arguments": {
        "stars": inside("x = np.add(*[observation, observation, observation])"),
        "two stars": inside("x = np.add(observation, observation, **{'out': observation})"),
        "signature": "def evaluation_func(*args, **kwargs):\n    return [args[0][:, :1]]\n",
    },
    "structured types": {
        "view": inside("x = observation.view('V8')"),
        "fields": inside("x = observation.getfield('i4', 4)"),
        "type of a dtype": inside("x = observation.dtype.type.__mro__[-1].__subclasses__()"),
        "record": inside("x = np.zeros(3, dtype=[('a', 'O')])"),
    },
    "ufunc methods": {
        "reduce": inside("x = np.add.reduce(observation, out=observation[0])"),
        "at": inside("np.add.at(observation, [0], 1)"),
        "outer": inside("x = np.multiply.outer(np.ones(10**6), np.ones(10**6))"),
        "accumulate": inside("np.add.accumulate(observation, out=observation)"),
    },
    "callables": {
        "frompyfunc": inside("x = np.frompyfunc(eval, 1, 1)(['1'])"),
        "vectorize": inside("x = np.vectorize(abs)(observation)"),
        "apply_along_axis": inside("x = np.apply_along_axis(sum, 0, observation)"),
        "piecewise": inside("x = np.piecewise(observation, [observation > 0], [abs, abs])"),
        "sorted": inside("x = sorted([2, 1], key=abs)"),
        "map": inside("x = list(map(abs, [1]))"),
        "function in a list": inside("f = [np.exp, np.log]\nx = f[0](observation)"),
    },
    "state of numpy": {
        "seterrcall": inside("np.seterrcall(print)\nnp.seterr(all='call')"),
        "printoptions": inside("np.set_printoptions(formatter={'float': eval})"),
        "bufsize": inside("np.setbufsize(16)"),
        "a new sum": inside("np.sum = abs"),
    },
    "other names": {
        "alias": inside("n = np\nn.save('CANARY/written', observation)"),
        "in a list": inside("[np][0].save('CANARY/written', observation)"),
        "argument np": "def evaluation_func(np, action):\n    return [np[:, :1]]\n",
        "len": inside("len = abs\nx = len(-1)"),
        "builtins": "def evaluation_func(__builtins__, action, /):\n    return [__builtins__[:, :1]]\n",
        "if": inside("(np if 1 else 0).save('CANARY/written', observation)"),
        "loop": inside("for n in [np]:\n    n.save('CANARY/written', observation)"),
        "entry again": inside("pass") + "evaluation_func = abs\n",
    },
    "changed inputs": {
        "plus": inside("observation += 1"),
        "slice": inside("observation[:, 0] = 7"),
        "out": inside("np.exp(observation, out=observation)"),
        "third argument": inside("np.add(observation, 1.0, observation)"),
        "copyto": inside("np.copyto(observation, 0)"),
        "setflags": inside("observation.setflags(write=True)\nobservation[0] = 1"),
        "flags": inside("observation.flags.writeable = True\nobservation[0] = 1"),
        "sort": inside("observation.sort(axis=0)"),
        "nan_to_num": inside("np.nan_to_num(observation, copy=False)"),
    },
    "alias of the input": {
        "view": inside("x = observation[:, :1]", "[x]"),
        "twice": inside("x = observation[:, :1]", "[x, x]"),
    },
    "wrong output": {
        "none": inside("pass", "None"),
        "number": inside("pass", "1.0"),
        "array": inside("pass", "observation"),
        "empty": inside("pass", "[]"),
        "flat": inside("pass", "[observation[:, 0]]"),
        "transposed": inside("pass", "[observation[:, :1].T]"),
        "short": inside("pass", "[observation[:1, :1]]"),
        "5000": inside("pass", "[observation[:, :1] * i for i in range(5000)]"),
        "giant": inside("pass", "[np.broadcast_to(observation[:1, :1], (10**9, 1))]"),
        "changing": inside("pass", "[observation[:, :1]] * (1 + len(observation) % 3)"),
        "text": inside("pass", "['a']"),
        "mapping": inside("pass", "{'a': observation[:, :1]}"),
    },
    "wrong values": {
        "nan": inside("pass", "[np.log(-1.0 - observation[:, :1] ** 2)]"),
        "inf": inside("pass", "[1e300 * 1e300 * np.exp(observation[:, :1])]"),
        "complex": inside("pass", "[observation[:, :1] * 1j]"),
        "huge": inside("pass", "[observation[:, :1] * 1e300]"),
        "constant": inside("pass", "[np.ones((observation.shape[0], 1))]"),
        "rounded constant": inside("pass", "[np.sin(observation[:, :1]) ** 2 + np.cos(observation[:, :1]) ** 2]"),
    },
    "processes": {
        "thread": inside("import threading\nthreading.Thread(target=print).start()"),
        "fork": inside("import os\nif os.fork() == 0:\n    open('CANARY/written', 'w').write('x')\n    os._exit(0)"),
        "fork bomb": inside("import os\nfor i in range(8):\n    os.fork()"),
        "subprocess": inside("import subprocess\nsubprocess.run(['touch', 'CANARY/written'])"),
        "daemon": inside("import subprocess\nsubprocess.Popen('sleep 60', shell=True, start_new_session=True)"),
        "exec": inside("import os\nos.execv('/bin/sh', ['sh', '-c', 'touch CANARY/written'])"),
        "spawn": inside("import os\nos.posix_spawn('/bin/sh', ['sh', '-c', 'touch CANARY/written'], {})"),
    },
    "network": {
        "connect": inside("import socket\n" + SOCKET),
        "listen": inside("import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()"),
        "names": inside("import socket\nsocket.gethostbyname('localhost')"),
        "packet": inside("import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', PORT))"),
        "other files": inside("import os\nfor i in range(3, 64):\n    os.write(i, b'x')"),
    },
    "surroundings": {
        "environment": inside("import os\nopen('CANARY/w', 'w').write(str(os.environ))"),
        "proc": inside("x = open('/proc/self/maps').read()"),
        "objects": inside(
            "import gc\nx = [o for o in gc.get_objects() if hasattr(o, 'save')][0].save('CANARY/w', [1])"
        ),
        "modules": inside("import sys\nsys.modules['os'].system('touch CANARY/written')"),
        "memory of the parent": inside("import os\nx = open('/proc/%d/mem' % os.getppid(), 'r+b')"),
    },
    "forged answers": {
        "bytes": inside("import os\nos.write(1, bytes(4096))"),
        "exit": inside("import os\nos._exit(0)"),
        "sys.exit": inside("import sys\nsys.exit(0)"),
        "kill the parent": inside("import os\nos.kill(os.getppid(), 28)"),
        "kill all": inside("import os\nos.kill(-1, 28)"),
        "flood": inside("import os\nfor i in range(10**9):\n    os.write(1, b'x' * 65536)"),
        "size": inside(
            "import os, struct, sys\nf = sys._getframe(1)\nwhile f and 'token' not in f.f_locals:\n    f = f.f_back\n"
            "os.write(1, struct.pack('<16sQQQQ', f.f_locals['token'], 2, 2**63, 1, 0))"
        ),
        "error": inside(
            "import os, struct, sys\nf = sys._getframe(1)\nwhile f and 'token' not in f.f_locals:\n    f = f.f_back\n"
            "os.write(1, struct.pack('<16sQQQQ', f.f_locals['token'], 3, 2**62, 0, 0))"
        ),
        "closed": inside("import os\nos.close(1)\nos.close(0)"),
        "eats questions": inside("import os\nos.read(0, 10**6)"),
    },
    "source tricks": {
        "wide letters": inside("ｎｐ.save('CANARY/written', observation)"),
        "look-alike": inside("оpen = 1"),
        "turned around": inside("x = 1  # \u202e } { \u2066"),
        "nul": inside("x = 1") + "\0",
        "cookie": "# coding: utf-7\n" + inside("+AG8-pen('CANARY/written', 'w')"),
        "annotation": inside("x = 1").replace("observation,", f"observation: {WRITE},", 1) + "1 / 0\n",
        "annotated": above(f"x: {WRITE}"),
        "async": "async " + inside("pass"),
        "generator": inside("yield observation"),
        "missing": "def other(observation, action):\n    return [observation[:, :1]]\n",
        "twice": inside("pass") + inside("pass"),
        "nothing": "",
        "prose": "Here is the function you asked for:",
        "line separator": inside("x = 1  # \u2028import os"),
    },
    "rows beside it": {
        "mean": inside("pass", "[observation[:, :1] - observation[:, :1].mean(axis=0)]"),
        "largest": inside("pass", "[observation[:, :1] / np.abs(observation).max()]"),
        "count": inside("pass", "[observation[:, :1] * len(observation)]"),
        "neighbor": inside("pass", "[np.roll(observation[:, :1], 1, axis=0)]"),
        "number of the row": inside("pass", "[np.arange(observation.shape[0]).reshape(-1, 1) * 1.0]"),
        "running sum": inside("pass", "[np.cumsum(observation[:, :1], axis=0)]"),
    },
}

HOSTILE = [Hostile(kind, name, text) for kind, programs in _KINDS.items() for name, text in programs.items()]
# What the whole stack lets pass, because it harms nobody: what is returned is copied, and what a call keeps is gone in
# the next.
HARMLESS = {
    *(("alias of the input", "view"), ("module state", "a list"), ("module state", "an array")),
    *(("cycles", "a dict"), ("cycles", "a list")),
}
