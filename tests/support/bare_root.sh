# shellcheck shell=bash
# Root folders with a freshly installed Debian 12 or Ubuntu 24.04. Sourced by tests/bare_machine.sh and
# tests/packages.sh.
#
# The calling script sets `me` (its name in messages), bare_self (its path) and bare_checkout (the project's folder),
# and calls bare_isolate. That runs the script again, with --inside WORK before its arguments, as the first process of
# new mount and process namespaces: when this process ends, its mounts and child processes end too. It calls bare_enter
# WORK first. Mirrors, keys, certificates, proxies and pip's settings are read from this machine; nothing else of it is
# visible inside.

: "${me:?}" "${bare_self:?}" "${bare_checkout:?}"

bare_work=      # the folder of this run: roots and logs
bare_log=       # log of the running command, for messages
bare_child=     # process that holds the namespaces
bare_keep=      # yes: bare_clean leaves the roots
bare_mounts=()   # HOST_FOLDER|FOLDER_INSIDE|ro or rw, mounted by bare_unpack
bare_settings=() # NAME=VALUE for commands inside

bare_say() { echo "$me: $*" >&2; }
bare_fail() {
  bare_say "error: $*"
  exit 1
}
bare_misuse() {
  bare_say "error: $*"
  echo "Try '$0 --help'." >&2
  exit 2
}
# Exit status 77: the test could not run, and neither passed nor failed.
bare_skip() {
  bare_say "skipped: $*"
  exit 77
}
bare_stage() { printf '\n== %s (%d s so far)\n' "$*" "$SECONDS"; }

# ---- requirements

# bare_require DISTRIBUTION: finds mirror, keyring and debootstrap script, or skips the test (exit status 77).
bare_require() {
  local tool
  case $1 in
    debian12) bare_codename=bookworm bare_components=main bare_keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
    ubuntu24.04)
      bare_codename=noble bare_components=main,universe
      bare_keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
      ;;
    *) bare_misuse "unknown distribution '$1' (expected debian12 or ubuntu24.04)" ;;
  esac
  [ "$(id -u)" = 0 ] || bare_skip "needs root, to make a root folder with debootstrap and enter it"
  for tool in debootstrap unshare setpriv chroot tar git; do
    command -v "$tool" >/dev/null || bare_skip "needs $tool, which is not installed"
  done
  unshare --mount --pid --ipc --uts --fork true 2>/dev/null ||
    bare_skip "needs the right to make mount and process namespaces (unshare failed)"
  bare_keyring=${BARE_MACHINE_KEYRING:-$bare_keyring}
  bare_mirror=$(bare_sources | awk -v name="$bare_codename" '$3 == name && $4 == "main" && !n++ { print $2 }')
  [ -n "$bare_mirror" ] ||
    bare_skip "needs a mirror of $1: this machine's apt sources have none. Set BARE_MACHINE_MIRROR=URL"
  [ -r "$bare_keyring" ] ||
    bare_skip "needs the keyring of $1's archive: $bare_keyring does not exist. Set BARE_MACHINE_KEYRING=FILE"
  local probe
  probe=$(mktemp -d)
  chmod 755 "$probe"
  /usr/lib/apt/apt-helper download-file "${bare_mirror%/}/dists/$bare_codename/InRelease" "$probe/InRelease" \
    >/dev/null 2>&1 || {
    rm -rf "$probe"
    bare_skip "needs a mirror of $1 that answers: dists/$bare_codename/InRelease cannot be downloaded from it"
  }
  rm -rf "$probe"
  bare_script=/usr/share/debootstrap/scripts/$bare_codename
  [ -e "$bare_script" ] || bare_script=/usr/share/debootstrap/scripts/gutsy # all later Ubuntu releases use this script
}

# Prints this machine's apt sources for $bare_codename as lines of a sources.list; with BARE_MACHINE_MIRROR, only that
# mirror.
bare_sources() {
  if [ -n "${BARE_MACHINE_MIRROR:-}" ]; then
    echo "deb $BARE_MACHINE_MIRROR $bare_codename ${bare_components//,/ }"
    return
  fi
  # shellcheck disable=SC2016  # the names are apt's
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk -v name="$bare_codename" -v components=",$bare_components," '
      ($2 == name || $2 == name "-updates" || $2 == name "-security") && index(components, "," $3 ",") && !seen[$0]++ {
        print "deb", $1, $2, $3
      }'
}

# Prints the settings of pip, except those of the environment, as a pip.conf.
bare_pip_conf() {
  command -v pip >/dev/null || command -v pip3 >/dev/null || return 0
  { pip config list 2>/dev/null || pip3 config list 2>/dev/null; } | sed -n "
    /^:env:/d
    s/^\\([a-z]*\\)\\.\\([^=]*\\)=['\"]\\(.*\\)['\"]\$/[\\1]\\n\\2 = \\3/
    s/\\\\n/\\n    /g
    /^\\[/p"
}

# Prints the folders and files of this machine that the settings of pip and of certificates name, one a line.
bare_named_paths() {
  {
    bare_pip_conf
    env | grep -E '^(PIP_[A-Z_]*|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)='
    apt-config dump | grep -iE '^Acquire::(https?|ftp)::.*(CaInfo|CaPath)'
  } | tr ' ="'\'';,' '\n' | sed 's|^file://||' | grep '^/' | sort -u
}

# ---- namespaces

# bare_isolate ARGUMENTS...: runs the calling script in namespaces; returns its exit status.
bare_isolate() {
  bare_work=$(mktemp -d "${BARE_MACHINE_DIR:-/var/tmp}/$me.XXXXXX")
  mkdir "$bare_work/log"
  trap bare_clean EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  # The child dies with this script, and everything in its namespaces dies with the child.
  setpriv --pdeathsig KILL unshare --mount --propagation private --pid --ipc --uts --fork --kill-child \
    bash "$bare_self" --inside "$bare_work" "$@" &
  bare_child=$!
  local status=0
  wait "$bare_child" || status=$?
  bare_child=
  return "$status"
}

# Ends the processes, removes the root folders and checks that no process and no mount is left.
bare_clean() {
  local status=$? process waited left=
  set +e # a failure here must not stop the removal of the rest
  trap '' INT TERM HUP
  if [ -n "$bare_child" ]; then
    kill -KILL "$bare_child"
    wait "$bare_child"
  fi 2>/dev/null
  for waited in 1 2 3 4 5 6 7 8 9 10; do
    left=
    for process in /proc/[0-9]*; do
      if [[ $(readlink "$process/root" 2>/dev/null) == "$bare_work"/* ]]; then left+=" ${process#/proc/}"; fi
    done
    [ -n "$left" ] || break
    sleep "0.$waited"
  done
  if [ -n "$left" ]; then
    bare_say "error: processes are left:$left"
    status=1
  fi
  if grep -qF " $bare_work/" /proc/self/mountinfo; then
    bare_say "error: mounts are left below $bare_work, so it is not removed"
    status=1
  elif [ "$bare_keep" = yes ]; then
    bare_say "kept: $bare_work"
  else
    for left in "$bare_work"/*; do
      [ "$left" = "$bare_work/log" ] || rm -rf --one-file-system "$left"
    done
    case $status in 0 | 130 | 143) rm -rf "$bare_work" ;; esac # after a failure, the logs are kept
  fi
  exit "$status"
}

# bare_enter WORK: sets up the namespaces, as the first call of the inner script.
bare_enter() {
  bare_work=$1
  trap 'exit 130' INT TERM HUP # the first process of a namespace ignores signals without a trap
  mount --make-rprivate /
  mount -t proc proc /proc
  hostname bare
}

# ---- root folders

# bare_logged NAME COMMAND...: writes the command's output to a log, and prints the end of the log if the command fails.
bare_logged() {
  bare_log=$bare_work/log/$1.txt
  shift
  "$@" >"$bare_log" 2>&1 </dev/null && return 0
  local status=$?
  tail -n 40 "$bare_log" >&2
  bare_say "failed with exit status $status; the whole log: $bare_log"
  return "$status"
}

# bare_make_base TARBALL: writes what debootstrap installs (variant minbase) as a tarball, unless it exists.
bare_make_base() {
  [ ! -s "$1" ] || return 0
  local folder=$bare_work/base
  mkdir "$folder"
  bare_logged debootstrap debootstrap --variant=minbase --components="$bare_components" --keyring="$bare_keyring" \
    "$bare_codename" "$folder" "$bare_mirror" "$bare_script" || exit 1
  rm -f "$folder"/var/cache/apt/archives/*.deb
  tar -C "$folder" --one-file-system --numeric-owner -cf "$1.part" .
  mv "$1.part" "$1"
  rm -rf --one-file-system "$folder"
}

# bare_unpack TARBALL NAME: sets bare_root to a fresh root, with its mounts and this machine's settings.
bare_unpack() {
  local path mount
  bare_root=$bare_work/$2
  mkdir "$bare_root"
  tar -C "$bare_root" --numeric-owner -xpf "$1"

  mount -t proc proc "$bare_root/proc"
  mount -t sysfs -o ro sysfs "$bare_root/sys"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$bare_root/dev"
  mknod -m 666 "$bare_root/dev/null" c 1 3
  mknod -m 666 "$bare_root/dev/zero" c 1 5
  mknod -m 666 "$bare_root/dev/full" c 1 7
  mknod -m 666 "$bare_root/dev/random" c 1 8
  mknod -m 666 "$bare_root/dev/urandom" c 1 9
  mknod -m 666 "$bare_root/dev/tty" c 5 0
  ln -s /proc/self/fd "$bare_root/dev/fd"
  ln -s fd/0 "$bare_root/dev/stdin"
  ln -s fd/1 "$bare_root/dev/stdout"
  ln -s fd/2 "$bare_root/dev/stderr"
  mkdir "$bare_root/dev/pts" "$bare_root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$bare_root/dev/pts"
  ln -s pts/ptmx "$bare_root/dev/ptmx"
  mount -t tmpfs -o mode=1777 tmpfs "$bare_root/dev/shm"

  cat /etc/resolv.conf >"$bare_root/etc/resolv.conf"
  echo bare >"$bare_root/etc/hostname"
  { cat /etc/hosts && echo "127.0.1.1 bare"; } >"$bare_root/etc/hosts"
  printf '#!/bin/sh\nexit 101\n' >"$bare_root/usr/sbin/policy-rc.d" # packages start no services
  chmod 755 "$bare_root/usr/sbin/policy-rc.d"
  echo force-unsafe-io >"$bare_root/etc/dpkg/dpkg.cfg.d/bare_root"

  local signed=
  if [ -n "${BARE_MACHINE_KEYRING:-}" ]; then
    mkdir -p "$bare_root/etc/apt/keyrings"
    cp "$bare_keyring" "$bare_root/etc/apt/keyrings/bare_root.gpg"
    signed="[signed-by=/etc/apt/keyrings/bare_root.gpg] "
  fi
  bare_sources | sed "s|^deb |deb $signed|" >"$bare_root/etc/apt/sources.list"
  apt-config dump | grep -iE '^Acquire::(Check-|Retries|https?::|ftp::|ForceIPv)' \
    >"$bare_root/etc/apt/apt.conf.d/99bare_root" || true
  bare_pip_conf >"$bare_root/etc/pip.conf"
  if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    mkdir -p "$bare_root/usr/local/share/ca-certificates"
    cp /usr/local/share/ca-certificates/*.crt "$bare_root/usr/local/share/ca-certificates/"
  fi
  # apt needs certificates for an https mirror before the package ca-certificates is installed.
  if grep -q ' https:' "$bare_root/etc/apt/sources.list" && [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$bare_root/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$bare_root/etc/ssl/certs/"
  fi
  while read -r path; do
    if [ -d "$path" ]; then
      bare_mount "$path" "$path" ro
    elif [ -f "$path" ] && [ "$path" != /etc/ssl/certs/ca-certificates.crt ]; then
      mkdir -p "$bare_root$(dirname "$path")"
      cp "$path" "$bare_root$path"
    fi
  done < <(bare_named_paths)
  for mount in ${bare_mounts[@]+"${bare_mounts[@]}"}; do
    IFS='|' read -ra mount <<<"$mount"
    bare_mount "${mount[@]}"
  done
}

bare_mount() {
  mkdir -p "$bare_root$2"
  mount --bind "$1" "$bare_root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$bare_root$2"
}

# bare_remove: unmounts and removes bare_root, to free disk space for the next one.
bare_remove() {
  local target
  [ "$bare_keep" != yes ] || return 0
  # Mount points are listed outermost first, and unmounted in reverse.
  while read -r target; do
    umount -l "$target"
  done < <(awk -v prefix="$bare_root/" 'index($5, prefix) == 1 { print $5 }' /proc/self/mountinfo | tac)
  rm -rf --one-file-system "$bare_root"
}

# bare_in USER COMMAND...: runs COMMAND in bare_root with a clean environment.
bare_in() {
  local user=$1 home variable settings=()
  shift
  home=$(sed -n "s/^$user:.*:\\([^:]*\\):[^:]*\$/\\1/p" "$bare_root/etc/passwd")
  for variable in $(compgen -e); do
    case $variable in
      PIP_* | http_proxy | https_proxy | ftp_proxy | no_proxy | all_proxy | HTTP_PROXY | HTTPS_PROXY | FTP_PROXY | \
        NO_PROXY | ALL_PROXY | SSL_CERT_FILE | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE)
        settings+=("$variable=${!variable}")
        ;;
    esac
  done
  chroot --userspec="$user" "$bare_root" /usr/bin/env -i HOME="$home" USER="$user" LOGNAME="$user" TERM=dumb \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ${settings[@]+"${settings[@]}"} \
    ${bare_settings[@]+"${bare_settings[@]}"} "$@" </dev/null
}

# bare_install PACKAGE...: installs packages inside, before the commands under test.
bare_install() {
  bare_in root apt-get -q update &&
    bare_in root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
}

# bare_add_user NAME: adds an ordinary user who may use sudo without a password.
bare_add_user() {
  bare_install sudo || return 1
  bare_in root useradd --create-home --shell /bin/bash "$1" || return 1
  printf '%s ALL=(ALL) NOPASSWD: ALL\nDefaults env_keep += "http_proxy https_proxy no_proxy"\n' "$1" \
    >"$bare_root/etc/sudoers.d/$1"
  chmod 440 "$bare_root/etc/sudoers.d/$1"
}

# bare_clone USER PATH: clones the checkout's HEAD to PATH inside, owned by USER.
bare_clone() {
  local owner
  owner=$(sed -n "s/^$1:[^:]*:\\([0-9]*:[0-9]*\\):.*/\\1/p" "$bare_root/etc/passwd")
  # shellcheck disable=SC2016  # the inner shell expands them
  bare_in "$1" sh -c 'mkdir -p "$(dirname "$1")"' sh "$2" || return 1
  GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' \
    git clone --quiet --no-hardlinks --single-branch "$bare_checkout" "$bare_root$2" || return 1
  chown -R "$owner" "$bare_root$2"
}
