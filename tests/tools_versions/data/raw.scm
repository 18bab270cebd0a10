;;; A derivation that needs nothing but a busybox: guix build -d -f raw.scm, with BUSYBOX, NAME, COMMANDS and HASH.
(use-modules (guix base16) (guix derivations) (guix store))

(with-store store
  (let* ((directory (add-to-store store "busybox" #t "sha256" (getenv "BUSYBOX")))
         (busybox (string-append directory "/bin/busybox"))
         (hash (getenv "HASH")))
    (apply derivation store (getenv "NAME") busybox
           (list "sh" "-c" (string-append "B=" busybox "; " (getenv "COMMANDS")))
           #:sources (list directory)
           (if hash
               (list #:hash-algo 'sha256 #:hash (base16-string->bytevector hash))
               '()))))
