"""The same numbers as TTreeFormula on real trees: operators, grouping, functions, vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ntupleml.expressions import parse

if TYPE_CHECKING:
    from conftest import Ntuple

OPERATORS = """
i+j i-j i*j i/j i%j i&j i|j i<<j i>>j i^2 j^i i**2 f^i -i !i !!i -!i !(i) i&&f i||f b&&i i?f:d i==j i!=j i<j i<=j
i>j i>=j f<d f>0.1 0.1<f f==f f>=1e300 f<-1e300 f!=0.1 (i>0)*f (i>0)+(j>2) -(i>0) i/0 0/0 g/0 f/(i>0) g/i f%2 7.9%4
(-7)%3 7%(-3) -7%3 g%3 d*1e10%7 (-1)&3 (-1.5)&3 g&1 g|1 1<<64 1<<65 1<<(0-1) us-s u-9 us*us c*c c*s b+b b*b -b !b -u
g||0 g&&1 !g g?1:2 2**-1 2^-i i**-1 i^-2 (i)^(-j) (0-2)^-3 0^-1 b^-1 c**-1 s^-2 u^-1 l^-1
ul^-1 Entry$^-1 1^ul b^ul (0-1)^ul j^ul 2**(0-ul) pow(i,-2) pow(2,i) TMath::Power(i,-1) sq(i)^-1
1e-2*i 1.E+2-.5 0x10+0xfF .5 1. +2 f--d f-(-d) i+-2 i*-2 i/-2 i==-2
"""

GROUPING = """
2^3^2 -2^2 2^-1 -2^-2 2^-j^2 f^2^0.5 7%4%3 7*3%4 7%4*3 j%3*2 j%3/2 2*j%3 1<<2+1 8>>1<<2 i<<2+j i+j<<2 i*j<<2 i<<2*j
-i<<1 -i>>1 -i%3 i*-j%3 i*-j*2 i*-j/3 i/-j*3 i-j-2 i-j+2-j i+j-2+j i*j*0.1 i*j/0.3 i/0.3*j i/0.3/0.7*j*1.1 f*d*f*d
f/d*f/d f-d+f-d f<3<2 f==1<2 0<f<1 0<f<=1 f>d>0 i<=3<2 i>3>=2 i>=j<b i==j>b i<=j>b i!=j==b i==3!=1 i<j!=b f==f==1
!i==3 !i<3 !i*2 !i^2 i&3==3 j&i==3 i&j&u i<<1>3 i>>1<3 i>>1>=3 i<<1<=3 (i-1)^2 -i^2 i&&j||f i||j&&f i==3||i==2&&j
f<d&&i>0||j<2&&b i>0?1:j>2?2:3 i>0?(j>2?1:2):3 i>0?f:i<-2?d:-1 i?TMath::Pi():2
"""

FUNCTIONS = """
abs(i) fabs(d) sqrt(f) log(f) log10(d) exp(f*300) exp(f) acos(f) asin(f) acos(f/9) asin(f/9) atan(f) acosh(f)
atanh(f) atanh(f/9) asinh(f) tan(f) tanh(d) sin(f) cos(f) sinh(f) cosh(f) atan2(f,d) atan2(i,j) atan2(i,0)
atan2(0,i) atan2(0,-0.) pow(f,2) pow(f,i) pow(i,j) pow(0,-1) sq(f) sq(i) sign(i) sign(f) int(f) int(-d*1e10) int(g)
fmod(i,j) fmod(f,d) fmod(f,0) min(i,f) max(i,j) min(g,1) max(g,1) min(1,g) max(1,g) floor(f) ceil(d) hypot(f,d)
round(f) round(i/2) rint(i/2) trunc(d) cbrt(f) log2(abs(f)) log1p(abs(f)) expm1(f) exp2(f) erf(f) erfc(f) fmin(g,1)
fmax(g,1) isnan(g) isinf(g) copysign(f,d) tgamma(abs(f)+.1) lgamma(abs(f)+3) std::abs(d) std::pow(f,2)
std::hypot(f,d) std::isnan(g) TMath::Abs(f) TMath::Sqrt(f) TMath::Power(f,2) TMath::Power(j,0.5) TMath::Min(g,1)
TMath::Max(g,1) TMath::Min(1,g) TMath::Max(i,j) TMath::Pi() TMath::TwoPi() TMath::E() TMath::PiOver2()
TMath::PiOver4() TMath::InvPi() TMath::DegToRad() TMath::RadToDeg() TMath::Sqrt2() TMath::Ln10() TMath::LogE()
TMath::Infinity() TMath::QuietNaN() TMath::Log(f) TMath::Log(0) TMath::Log10(d) TMath::Log2(abs(f))
TMath::Exp(f*300) TMath::Hypot(f,d) TMath::ATan2(f,d) TMath::ATan2(0,i) TMath::Cos(f) TMath::Sin(f) TMath::Tan(f)
TMath::ACos(f) TMath::ASin(f) TMath::ATan(f) TMath::CosH(f) TMath::SinH(f) TMath::TanH(f) TMath::ACosH(f)
TMath::ASinH(f) TMath::ATanH(f) TMath::Floor(f) TMath::Ceil(f) TMath::FloorNint(f) TMath::CeilNint(f) TMath::Nint(f)
TMath::Nint(i/2) TMath::Sq(f) TMath::Sign(f,d) TMath::Sign(3,i) TMath::Range(0,1,g) TMath::Even(i) TMath::Odd(i)
TMath::IsNaN(g) TMath::Finite(g) TMath::Erf(f) TMath::Erfc(f) TMath::Freq(f) TMath::Gamma(abs(f)+.1)
TMath::LnGamma(abs(f)+.1) TMath::Gaus(f) TMath::Gaus(f,d) TMath::Gaus(f,d,j) TMath::Gaus(f,d,j,1) TMath::Gaus(f,d,0)
TVector2::Phi_mpi_pi(f*d) TVector2::Phi_0_2pi(f*d) pi pi*2
"""

VECTORS = """
v w k fx v[] v[0] v[1] fx[1] v+w w+v v+w+k fx+v v+fx fx*w*v f*v[0]+w w+v[1] v[j] v[i] v[k] v[1+1] v[(1+1)] v[nv-1]
fx[j] fx[i] v[k[0]] v[k[1]] w[k[0]]+w v[w>0] v[j]==v[j] !(v[j]>0) v[j]>0||1 1||v[j]>0 v[j]>0&&0 0&&v[j]>0 (v[j]>0)+7
j>2?v[j]:-1 v[j]?3:4 v[j]&1 i>0?v[j]:w[0] i>3||v[2]>-100 (v>0)*w v&&w v||w v>0?w:fx Length$ v*Length$ Iteration$
v*Iteration$ i+Iteration$ Entry$ Entry$*v Entry$%2==0 nv-v k*k k&3 k%2 k<<1 min(v,w) max(v[j],1) TMath::Max(v[j],1)
Sum$(v) Sum$(v>0) Sum$(v[0]) Sum$(v[j]) Sum$(v+w) Sum$(w+v) Sum$(v*w*fx) Sum$(g) Sum$(k) Sum$(Iteration$*v)
Sum$(w)/Length$(w) Max$(v) Min$(v) Max$(k) Min$(k*2) Max$(g) Max$(v>0) Max$(i) Max$(v+w) Min$(w+v) Length$(v)
Length$(v[1]) Length$(v*w) Length$(fx) Length$(i) MinIf$(v,v>0) MaxIf$(v,w>0) MaxIf$(v,k>0) MinIf$(v,k[0]>0)
MaxIf$(v,v[j]>0) Alt$(v,0) Alt$(v[2],99) w*Alt$(v,100) w+Alt$(v[1],100) Alt$(v[1],i) Alt$(v[j],-1) w*Alt$(i,5)
Alt$(v[2],Alt$(v[1],7)) Sum$(Alt$(v,0)*w) Length$(v)>1&&v[1]>0 v*(Sum$(w)>0)
fx*w Sum$(w*fx) Length$(w*fx) Length$(dx*fx) one one*v one*fx fx*one fx*dx[ix[1]] dx[ix[1]]*fx fx*dx[ix] dx[ix]*fx
fx[ix] dx[ux]*v*fx one[ux] Alt$(v[1],fx[1]) Alt$(v,fx[1]) fx*Alt$(fx[2],0) MaxIf$(dx,fx>0) MinIf$(v,fx>0)
fx[us%3]*v dx[j] k**-1 ix^-1 ux**-ix Sum$(k^-2) Max$(ix)^-1
"""

WITH_BLANKS = ["i ** 2", "f- -d", " f + d ", "i > 0 ? j > 2 : f"]


@pytest.mark.parametrize("formula", [*OPERATORS.split(), *GROUPING.split(), *FUNCTIONS.split(), *WITH_BLANKS])
def test_scalars_as_ttreeformula(ntuple: Ntuple, formula: str) -> None:
    ntuple.assert_as_root(formula)


@pytest.mark.parametrize("formula", VECTORS.split())
def test_vectors_as_ttreeformula(ntuple: Ntuple, formula: str) -> None:
    ntuple.assert_as_root(formula)


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("2^3^2", 64),
        ("-2^2", -4),
        ("-2^-2", -0.25),
        ("7%4%3", 0),
        ("7%4*3", 7),
        ("-7%3", -1),
        ("1<<2+1", 5),
        ("3<2<1", 0),
        ("1/0", 0),
        ("7/2", 3.5),
        ("sqrt(-4)", 2),
        ("log(-1)", 0),
        ("exp(1000)", 1.0142320547350045e304),
        ("!3==0", 1),
        ("5>2 ? 0 ? 1 : 2 : 3", 2),
        ("!-1", 0),
        ("+3", 3),
        ("7 % -4", 3),
        ("true + true - false", 2),
        ("std::sqrt(4)", 2),
        ("010", 10),
        ("1e400", float("inf")),
    ],
)
def test_value_of_literals(formula: str, value: float) -> None:
    """Numbers from the definition of TFormula, and of what is accepted in addition."""
    assert parse(formula).evaluate({}, 2).tolist() == [value, value]


CUTS = ["v>0", "v+fx>0", "v[1]>0", "TMath::Sqrt(f)", "g", "fx>4", "Alt$(v[j],0)>0", "Entry$>5", "f>0&&i<2", "v[0]>0||b"]


@pytest.mark.parametrize("cut", CUTS)
def test_passes_as_copytree(ntuple: Ntuple, cut: str) -> None:
    """NaN counts as true, as in C++."""
    assert parse(cut).passes(ntuple.columns, ntuple.num_events).nonzero()[0].tolist() == ntuple.copied(cut)


def test_events_without_the_element_do_not_pass(ntuple: Ntuple) -> None:
    """TTreeFormula's NaN lets them pass, or not, depending on its version."""
    has_element = ntuple.columns["nv"] > ntuple.columns["j"]
    above = [
        bool(has) and bool(event[index] > 0)
        for event, index, has in zip(ntuple.columns["v"], ntuple.columns["j"], has_element, strict=True)
    ]
    assert not has_element.all()
    assert parse("v[j]>0").passes(ntuple.columns, ntuple.num_events).tolist() == above
    assert parse("!(v[j]<=0)").passes(ntuple.columns, ntuple.num_events).tolist() == above
    assert parse("1||v[j]").passes(ntuple.columns, ntuple.num_events).all()


def test_modulo_by_zero_has_no_value(ntuple: Ntuple) -> None:
    """It ends ROOT's process, unless it is not evaluated."""
    zero = ntuple.columns["i"] == 0
    assert zero.any()
    assert (parse("7 % i == 7 % i").passes(ntuple.columns, ntuple.num_events) == ~zero).all()
    assert parse("i ? 7 % i : 99").evaluate(ntuple.columns, ntuple.num_events)[zero].tolist() == [99] * zero.sum()


@pytest.mark.parametrize(
    "formula",
    [
        "jet1_pt>1&&TMath::Abs(jet1_eta)<0.8||m_bb>1.2&&!(m_wbb<0.9)",
        "(jet1_pt>1)+(jet2_pt>1)*2+(jet3_pt>1)*4",
        "m_jj>1?sqrt(m_jjj)*lepton_pT:-log(m_wwbb)",
        "TMath::Hypot(lepton_pT*cos(lepton_phi),missing_energy_magnitude)/m_lv^2",
        "TVector2::Phi_mpi_pi(jet1_phi-jet2_phi)*1e-3",
        "int(jet1_pt*10)%3==1",
    ],
)
def test_real_data(higgs: Ntuple, formula: str) -> None:
    higgs.assert_as_root(formula)
