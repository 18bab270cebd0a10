;;; What others wrote, as they wrote it: files, and variables of modules.
(define-module (compose load)
  #:use-module (guix diagnostics)
  #:use-module (guix i18n)
  #:use-module (guix ui)
  #:use-module (srfi srfi-1)
  #:export (give-up load-value variable-of))

(define (give-up text . arguments)
  "End the program with an error.  It is not Guix that is to tell it: that would blame the expression that is evaluated."
  (report-error (G_ "~a~%") (apply format #f text arguments))
  (primitive-exit 1))

(define (name-absolutely! file module)
  "See to it that (current-filename) is the absolute name of FILE once that is loaded into MODULE.  Guile names files below a
directory of the load path relative to it when it opens them; so until it begins to read, there is no such directory."
  (define path %load-path)
  (define (above? directory)
    (let ((name (false-if-exception (canonicalize-path directory))))
      (and name (string-prefix? (string-append name "/") (canonicalize-path file)))))
  (define (read-first port)
    (set! %load-path path)
    (fluid-set! reader #f)
    (read-syntax port))
  (define reader (make-fluid read-first))
  (module-define! module 'current-reader reader)  ;the compiler looks there
  (set! %load-path (remove above? path)))

(define* (load-value file modules #:optional variable)
  "The value of FILE, or of a VARIABLE that it defines, where it has the bindings of MODULES.  Guix tells what is wrong with it,
and where."
  (let ((module (make-user-module modules)))
    (name-absolutely! file module)
    (let ((value (catch 'quit
                   (lambda () (load* file module))
                   (lambda _ (primitive-exit 1)))))
      (cond ((not variable) value)
            ((module-variable module variable) => variable-ref)
            (else (give-up (G_ "~a defines no variable '~a'") file variable))))))

(define (variable-of name variable)
  "The value of a VARIABLE that the module called NAME exports."
  (let ((module (resolve-module name #:ensure #f)))
    (unless module
      (give-up (G_ "no code for module ~a") name))
    (let ((found (module-variable (module-public-interface module) variable)))
      (unless found
        (give-up (G_ "module ~a exports no variable '~a'") name variable))
      (variable-ref found))))
