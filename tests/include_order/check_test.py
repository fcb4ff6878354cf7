"""The checker finds each kind of fault: one small tree for each."""

import contextlib
import io
import tempfile
from pathlib import Path

import check

CASES = [
    ("core comes before io", {"core/a.hpp": '#include "moderngpt2/io/b.hpp"', "io/b.hpp": ""}),
    ("no such file", {"core/a.hpp": '#include "moderngpt2/core/b.hpp"'}),
    ("in quotes", {"core/a.hpp": "#include <moderngpt2/core/b.hpp>", "core/b.hpp": ""}),
    ("in quotes", {"core/a.hpp": '#include "b.hpp"', "core/b.hpp": ""}),
    ("no #pragma once", {"core/a.hpp": None}),
    ("circle", {"core/a.hpp": '#include "moderngpt2/core/b.hpp"', "core/b.hpp": '#include "moderngpt2/core/a.hpp"'}),
    ("no place", {"stray/a.hpp": ""}),
    ("gemm.hpp alone", {"layers/a.hpp": "#include <dnnl.h>"}),
    ("cudnn_attention.hpp alone", {"backend/cuda/a.hpp": "#include <cudnn_frontend.h>"}),
    ("distributed/mpi_session.hpp alone", {"training/a.hpp": "#include <mpi.h>"}),
    ("parallel.hpp alone", {"layers/a.hpp": "#pragma omp parallel"}),
    ("not under the umbrella", {"moderngpt2.hpp": '#include "moderngpt2/io/p.hpp"', "io/p.hpp": "#include <arrow/api.h>"}),
    ("not under the umbrella", {"moderngpt2.hpp": '#include "moderngpt2/cli/p.hpp"', "cli/p.hpp": ""}),
    ("depend on MODERNGPT2_CUDA_SIMULATED", {"backend/cuda/norm.hpp": "#ifdef MODERNGPT2_CUDA_SIMULATED\n#endif"}),
    ("nvcc compiles no Fill", {"backend/cuda/kernels/a.cuh":
                               "struct Fill {\n  int n;\n  void launch(cudaStream_t stream) const;\n};"}),
    ("keep the order", {"backend/cuda/kernels/a.cuh":
                        "struct Fill {\n  void launch(cudaStream_t stream) const;\n};\nMODERNGPT2_CUDA_INSTANTIATE(Fill);"}),
    ("also a class of moderngpt2/training/a.hpp", {"training/a.hpp": "class AdamW {\n};",
                                                   "backend/cuda/kernels/a.cuh": "struct AdamW {\n};"}),
    ("kernels do not see", {"backend/cuda/kernels/a.cuh": '#include "moderngpt2/backend/cuda/loss.hpp"',
                            "backend/cuda/loss.hpp": ""}),
    ("keep the order", {"backend/cuda/kernels/a.cuh": '#include "moderngpt2/backend/cuda/runtime.hpp"',
                        "backend/cuda/runtime.hpp": ""}),
    ("io/a.hpp:2: --block_size in a message", {"io/a.hpp": 'throw Error("reduce --block_size");'}),
    ("keep the order", {"io/a.hpp": '// --block_size\nint i = n--; f("a -- b", "srun --mpi=pmix");',
                        "cli/a.hpp": 'f("--block_size");'}),
    ("keep the order", {"io/b.hpp": '#include "moderngpt2/core/a.hpp"', "core/a.hpp": "#include <string>"}),
]

for expected, files in CASES:
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = Path(root, "include", "moderngpt2", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n" if text is None else f"#pragma once\n{text}\n")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = check.main(root)
    said = output.getvalue()
    assert expected in said and status == (0 if expected == "keep the order" else 1), (expected, files, said, status)
print(f"{len(CASES)} cases")
