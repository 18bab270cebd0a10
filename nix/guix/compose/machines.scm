;;; The machines of a file for `guix deploy'.
(define-module (compose machines)
  #:use-module (compose load)
  #:use-module (gnu machine)
  #:use-module (gnu machine ssh)
  #:use-module (gnu system)
  #:use-module (guix i18n)
  #:use-module (srfi srfi-1)
  #:export (machines-in machine-name system-of way-to))

(define (machines-in file)
  (let ((value (load-value file '((gnu) (gnu machine) (gnu machine ssh) (compose setup)))))
    (unless (and (list? value) (every machine? value))
      (give-up (G_ "~a: does not return a list of machines, as `guix deploy' takes it") file))
    value))

;; Without provenance, which has where files lie.
(define machine-system (@@ (gnu machine) %machine-operating-system))

(define (machine-name machine)
  (operating-system-host-name (machine-system machine)))

(define (system-of file name)
  "The operating system of the machine called NAME."
  (machine-system (find (lambda (machine) (string=? name (machine-name machine))) (machines-in file))))

(define-syntax-rule (ssh-field field way)
  ((@@ (gnu machine ssh) field) way))

(define (way-to machine directory)
  "How `guix deploy' reaches MACHINE; DIRECTORY is that of its file."
  (let ((way (machine-configuration machine)))
    (if (machine-ssh-configuration? way)
        `(("host" . ,(ssh-field machine-ssh-configuration-host-name way))
          ("user" . ,(ssh-field machine-ssh-configuration-user way))
          ("port" . ,(ssh-field machine-ssh-configuration-port way))
          ("key" . ,(let ((file (ssh-field machine-ssh-configuration-identity way)))
                      (cond ((not file) 'null)
                            ((absolute-file-name? file) file)
                            (else (string-append directory "/" file))))))
        '())))                                    ;it does not exist yet
