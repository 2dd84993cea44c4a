#!/usr/bin/env bash
# Builds the Rust library, then the module against the nginx of the system, for a clean Debian:
#     apt-get install nginx nginx-dev gcc make
# The module is left in OUT (default: nginx/ in cargo's target directory) as ngx_http_tollgate_module.so. No root needed.
# Environment: OUT; NGINX_SRC (the folder of nginx-dev); CARGO_PROFILE; TOLLGATE_LIB: a library that is built already;
# CC_OPT, LD_OPT: more options, such as -fsanitize=address.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
nginx_src=${NGINX_SRC:-/usr/share/nginx/src}

if [ ! -x "$nginx_src/configure" ] && [ ! -f "$nginx_src/configure" ]; then
    echo "there is no $nginx_src/configure: apt-get install nginx nginx-dev" >&2
    exit 1
fi

target=$(cd "$root" && cargo metadata --no-deps --format-version 1 --locked \
    | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
out=${OUT:-$target/nginx}
profile=${CARGO_PROFILE:-release}

if [ -z "${TOLLGATE_LIB:-}" ]; then
    (cd "$root" && cargo build --package tollgate-ffi --profile "$profile" --locked)
    TOLLGATE_LIB=$target/${profile/dev/debug}/libtollgate_ffi.a
fi
export TOLLGATE_LIB TOLLGATE_INC=$root/include

mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$nginx_src"
# Debian's: a bash array.
. ./conf_flags
bash ./configure --with-cc-opt="-g -O2 -fPIC ${CC_OPT:-}" --with-ld-opt="-fPIC -Wl,-z,relro -Wl,-z,now ${LD_OPT:-}" \
    "${NGX_CONF_FLAGS[@]}" --add-dynamic-module="$here" --builddir="$out" > "$out/configure.log" 2>&1 \
    || { tail -20 "$out/configure.log" >&2; exit 1; }
make -s -f "$out/Makefile" -C "$nginx_src" modules

module=$out/ngx_http_tollgate_module.so
# Of the library nothing but nginx's entry points may be seen by other modules.
leaked=$(nm -D --defined-only "$module" | awk '{ print $3 }' | grep -E '^(_R|_ZN|rust_|tollgate_)' || true)
if [ -n "$leaked" ]; then
    echo "symbols of the library are visible: $leaked" >&2
    exit 1
fi
echo "$module"
