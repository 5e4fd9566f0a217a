# SPDX-License-Identifier: Apache-2.0
"""The machine and the tools in words: CPU, instruction sets, measured arithmetic limits, versions."""
import importlib.metadata
import os
import platform
import subprocess

PEAK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peak.c")
FAMILIES = {("AuthenticAMD", 23): "AMD Zen or Zen 2", ("AuthenticAMD", 25): "AMD Zen 3 or Zen 4",
            ("AuthenticAMD", 26): "AMD Zen 5", ("GenuineIntel", 6): "Intel Core or Xeon"}
INSTRUCTION_SETS = {"avx2": "AVX2", "avx512bw": "AVX-512", "avx_vnni": "AVX-VNNI", "avx512_vnni": "AVX-512 VNNI",
                    "amx_int8": "AMX int8"}
# The int8 family a peer chooses, the best first: as INSTRUCTION_SETS calls it, as peak.c does.
PEER_INT8 = (("AMX int8", "amx"), ("AVX-512 VNNI", "avx512vnni"), ("AVX-VNNI", "avxvnni"), ("AVX-512", "avx512-sum32"))
PACKAGES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "nncf": "NNCF", "ncnn": "ncnn", "numpy": "NumPy"}


def cpu_info():
    info = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
    return info


def instruction_sets():
    flags = cpu_info().get("flags", "").split()
    return [name for flag, name in INSTRUCTION_SETS.items() if flag in flags]


def needs_reduced_range():
    """Whether int8 products are added in pairs with saturation on this CPU, so that peers want weights of 7 bits."""
    return not any("VNNI" in name or "AMX" in name for name in instruction_sets())


def describe():
    """CPU in words, instruction sets, versions of what is installed."""
    info = cpu_info()
    vendor, family = info.get("vendor_id", platform.machine()), int(info.get("cpu family", 0))
    words = FAMILIES.get((vendor, family), f"{vendor} family {family}")
    versions = {}
    for package, name in PACKAGES.items():
        try:
            versions[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return {"cpu": f"{words} (family {family}, model {info.get('model', '?')})", "cores": len(os.sched_getaffinity(0)),
            "instruction_sets": instruction_sets(), "versions": versions}


def peaks(folder, core):
    """{family: (GMAC/s, words)} of one core, by bench/peak.c."""
    program = os.path.join(folder, "peak")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", PEAK, "-o", program], check=True)
    text = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, [core])).stdout
    rows = [line.split(None, 2) for line in text.splitlines()]
    return {name: {"gmacs": float(rate), "words": words} for name, rate, words in rows}


def family(arm, isa, sets):
    """The instruction family whose limit bounds an arm, a key of peaks(). `isa`: Narrow's kernel family."""
    tool, precision = arm.split()
    if precision == "float":
        return "avx512-float" if "AVX-512" in sets else "avx2-float"
    if tool == "narrow":
        if isa in ("avx2", "avx512"):
            return f"{isa}-sum16" if precision == "W7A7" else f"{isa}-sum32"
        return isa
    return next((key for name, key in PEER_INT8 if name in sets), "avx2-sum32")
