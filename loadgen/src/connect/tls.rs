//! Secure connections: who is trusted, and what is offered.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;

use super::target::{Manner, TargetError};

/// What a secure connection needs; made once and shared.
#[derive(Clone)]
pub struct Tls {
    pub connector: TlsConnector,
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Tls {
    pub fn new(name: &str, manner: &Manner) -> Result<Self, TargetError> {
        let problem = |error: &dyn fmt::Display| TargetError::Roots(error.to_string());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| problem(&error))?;
        let trusts = match &manner.roots {
            _ if manner.insecure => Some(Trusts::Anyone),
            Some(pem) => {
                let roots =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots(pem)?), provider.clone());
                let usual = roots.build().map_err(|error| problem(&error))?;
                Some(Trusts::These { usual, own: certificates(pem)? })
            }
            None => None,
        };
        let builder = match trusts {
            Some(trusts) => {
                let verifier = Arc::new(Verifier { provider, trusts });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            None => builder.with_platform_verifier().map_err(|error| problem(&error))?,
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![if manner.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| TargetError::Malformed { url: name.to_owned(), reason: error.to_string() })?;
        let config = Arc::new(config);
        Ok(Self { connector: TlsConnector::from(config.clone()), config, name })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.name)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TargetError> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    read.map_err(|error| TargetError::Roots(error.to_string()))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TargetError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| TargetError::Roots(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(TargetError::Roots("the file holds no certificate in PEM form".to_owned()));
    }
    Ok(store)
}

/// Whose certificates are accepted where the system's own trust is not asked; signatures must be right whoever it is.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trusts: Trusts,
}

#[derive(Debug)]
enum Trusts {
    /// As asked for on the command line.
    Anyone,
    /// Authorities, and a certificate that is itself among those to trust: the usual self-signed one says that it is an
    /// authority, and no authority is a server to webpki.
    These { usual: Arc<WebPkiServerVerifier>, own: Vec<CertificateDer<'static>> },
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trusts::These { usual, own } = &self.trusts else { return Ok(ServerCertVerified::assertion()) };
        match usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Asked only after its dates were found right.
            Err(error) if is_authority_as_server(&error) && own.iter().any(|own| own == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// webpki's own error, which rustls hands on as it is.
fn is_authority_as_server(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(other))
        if format!("{other:?}").contains("CaUsedAsEndEntity"))
}
