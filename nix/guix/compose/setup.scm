;;; What a deployment says under `setup': parameters that a role may read while it is evaluated.
(define-module (compose setup)
  #:use-module (json)
  #:export (setup))

(define* (setup name #:optional default)
  "The value of the parameter NAME, as (json) reads it, or DEFAULT."
  (let ((given (assoc name (json-string->scm (or (getenv "COMPOSE_SETUP") "{}")))))
    (if given (cdr given) default)))
