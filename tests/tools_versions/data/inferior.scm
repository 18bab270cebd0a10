;;; Prints the directory where `guix time-machine' keeps the Guix of these commits, once it is built: inferior.scm COMMIT...
(use-modules (gcrypt hash) (guix base32) (rnrs bytevectors))

(display (string-append "/var/guix/profiles/per-user/" (passwd:name (getpwuid (getuid))) "/inferiors/"
                        (bytevector->base32-string
                         (sha256 (string->utf8 (string-concatenate (cdr (command-line))))))))
