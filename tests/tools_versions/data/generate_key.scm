;;; Writes a pair of keys as `guix archive --generate-key' would: generate_key.scm SECRET-FILE PUBLIC-FILE
(use-modules (gcrypt pk-crypto) (ice-9 match))

(define (write-key key file)
  (call-with-output-file file
    (lambda (port) (display (canonical-sexp->string key) port))))

(match (cdr (command-line))
  ((secret public)
   (let ((pair (generate-key (string->canonical-sexp "(genkey (ecdsa (curve Ed25519) (flags rfc6979)))"))))
     (write-key (find-sexp-token pair 'private-key) secret)
     (write-key (find-sexp-token pair 'public-key) public))))
