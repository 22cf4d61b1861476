#!/bin/sh
# mmdebstrap customize hook of the run image. $1: the root folder.
set -eu
root=$1
here=$(dirname "$(readlink -f "$0")")
# lighttpd's `include_shell` would make this list anew, with perl, at every start of every static site.
mkdir -p "$root/usr/share/gantry"
chroot "$root" /usr/share/lighttpd/create-mime.conf.pl > "$root/usr/share/gantry/mime.conf"
# Full perl only serves lighttpd's set-up scripts; /usr/bin/perl itself stays (perl-base).
extra=$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${db:Status-Abbrev}${Package}\n' \
  perl 'perl-modules-5*' 'libperl5*' 'libgdbm*' usrmerge 'lib*-perl' 2>/dev/null |
  sed -n 's/^ii *//p' || true)
if [ -n "$extra" ]; then
  # shellcheck disable=SC2086 -- a list of package names
  chroot "$root" dpkg --force-depends --purge $extra
fi
rm -rf "$root/etc/lighttpd" "$root/var/www" "$root"/usr/share/lighttpd
"$here/trim.sh" "$root"
