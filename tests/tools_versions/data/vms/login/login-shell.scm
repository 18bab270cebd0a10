(define-module (login-shell)
  #:use-module (gnu packages bash)
  #:use-module (guix gexp)
  #:export (login-shell))

(define login-shell (file-append bash "/bin/bash"))
